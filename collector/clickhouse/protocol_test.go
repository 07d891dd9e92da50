// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A world is a server in memory, and the processes that write to it. It does what
// a server promises, and everything bad that the promise leaves open: an answer gets
// lost, an insert comes to be there long after it failed, a server dies with a token
// noted and the rows not written, or with the rows written and a materialised view
// without them. One process takes a step at a time, and the test says which.
type world struct {
	r *rapid.T

	tokens      map[string]bool // table, number and token
	generations map[int64]string
	stubs       map[place][]store.Entry
	heldRows    map[place][]store.Quarantined
	preparedBy  map[place]record
	events      map[place][]store.Entry
	log         []record        // commits, in order
	view        map[string]int  // rows that a materialised view has, by fingerprint
	viewTokens  map[string]bool // of the view's own table

	late []func() // what comes to be there some day

	shown    map[string]bool // fingerprints that readers saw
	promised map[string]bool // fingerprints that a Commit answered for
	debris   bool            // rows came to be there for a number that was a commit without events
}

var errLost = errors.New("connection lost")

// What becomes of a step.
const (
	done     = "done"
	refused  = "refused"   // it failed, nothing happened
	answered = "no answer" // it happened, the answer was lost
	later    = "later"     // it failed, and happens later
	poisoned = "poisoned"  // the server died with the token noted
	viewless = "viewless"  // the server died before the view got the rows
)

// A process is one store that writes; its steps go through the test.
type process struct {
	w      *world
	name   int
	store  *Store
	step   chan string // asks for what becomes of the next step
	turn   chan string
	asks   string // what it waits to do; "" when it is at nothing
	failed bool   // to open the store
	over   error  // that it was fenced with
}

// do runs a step as the test says.
func (p *process) do(what string, f func() error, poison func()) error {
	p.step <- what
	switch <-p.turn {
	case refused:
		return errLost
	case answered:
		_ = f()
		return errLost
	case later:
		p.w.late = append(p.w.late, func() { _ = f() })
		return errLost
	case poisoned:
		poison()
		return errLost
	}
	return f()
}

func (p *process) read(what string, f func()) error {
	return p.do(what, func() error { f(); return nil }, nil)
}

func nothing() {}

// first notes a token, and reports whether it is new.
func (w *world) first(table string, number uint64, token string) bool {
	key := table + "/" + strconv.FormatUint(number, 10) + "/" + token
	if w.tokens[key] {
		return false
	}
	w.tokens[key] = true
	return true
}

func (p *process) head(context.Context) (h head, err error) {
	err = p.read("head", func() {
		for g, uid := range p.w.generations {
			if g > h.generation {
				h.generation, h.uid = g, uid
			}
		}
		if n := len(p.w.log); n > 0 {
			h.number, h.digest = p.w.log[n-1].number, p.w.log[n-1].digest
		}
	})
	return h, err
}

func (p *process) putGeneration(_ context.Context, after int64, uid, token string) error {
	put := func() error {
		for g := range p.w.generations {
			if g > after {
				return nil
			}
		}
		if _, ok := p.w.generations[after]; !ok && after > 0 || !p.w.first("writers", uint64(after+1), token) {
			return nil
		}
		p.w.generations[after+1] = uid
		return nil
	}
	return p.do("put generation", put, func() { p.w.first("writers", uint64(after+1), token) })
}

func (p *process) generation(_ context.Context, g int64) (uid string, err error) {
	err = p.read("generation", func() { uid = p.w.generations[g] })
	return uid, err
}

func (p *process) putHeld(_ context.Context, at place, _ int64, messages []store.Quarantined) error {
	return p.do("put quarantine", func() error { p.w.heldRows[at] = messages; return nil }, nothing)
}

func (p *process) putStubs(_ context.Context, at place, entries []store.Entry) error {
	return p.do("put stubs", func() error { p.w.stubs[at] = slices.Clone(entries); return nil }, nothing)
}

func (p *process) putPrepared(_ context.Context, at place, _ *Statement, raw []byte, _ int64) error {
	return p.do("put statement", func() error { p.w.preparedBy[at] = record{at, Digest(raw), raw}; return nil }, nothing)
}

func (p *process) putEvents(_ context.Context, at place, token string, entries []store.Entry) error {
	p.step <- "put events"
	verdict := <-p.turn
	put := func() {
		key := strconv.FormatUint(at.number, 10) + "/" + token
		if p.w.first("events", at.number, token) {
			p.w.events[at] = append(p.w.events[at], entries...)
			if n := int(at.number); n <= len(p.w.log) && p.w.log[n-1].place != at {
				p.w.debris = true
			}
		}
		if verdict != viewless && !p.w.viewTokens[key] {
			p.w.viewTokens[key] = true
			for i := range entries {
				p.w.view[entries[i].Header.Fingerprint]++
			}
		}
	}
	switch verdict {
	case refused:
		return errLost
	case later:
		p.w.late = append(p.w.late, put)
		return errLost
	case poisoned:
		p.w.first("events", at.number, token)
		return errLost
	case answered, viewless:
		put()
		return errLost
	}
	put()
	return nil
}

func (p *process) putCommit(_ context.Context, at place, token string, rows int64) error {
	fits := func() bool {
		if uint64(len(p.w.log))+1 != at.number {
			return false
		}
		there := len(p.w.events[at])
		if rows == 0 {
			for o, entries := range p.w.events {
				if o.number == at.number {
					there += len(entries)
				}
			}
		}
		return int64(there) == rows && p.w.preparedBy[at].digest != ""
	}
	return p.do("put commit", func() error {
		if fits() && p.w.first("commits", at.number, token) {
			p.w.log = append(p.w.log, p.w.preparedBy[at])
		}
		return nil
	}, func() {
		if fits() {
			p.w.first("commits", at.number, token)
		}
	})
}

func (p *process) forget(context.Context) error {
	return p.do("forget", func() error { p.w.forget(); return nil }, nothing)
}

// forget is also what a loss of power may do.
func (w *world) forget() {
	maps.DeleteFunc(w.tokens, func(key string, _ bool) bool { return strings.HasPrefix(key, "events/") })
}

func (p *process) views(context.Context) (remember, forget int, err error) {
	return 1, 0, p.read("views", func() {})
}

func (p *process) piles(_ context.Context, number uint64) (piles []pile, err error) {
	err = p.read("piles", func() {
		for at, entries := range p.w.events {
			if at.number == number {
				piles = append(piles, pile{at.writer, int64(len(entries))})
			}
		}
		slices.SortFunc(piles, func(a, b pile) int { return cmp.Compare(a.writer, b.writer) })
	})
	return piles, err
}

func (p *process) entries(_ context.Context, at place) (entries []store.Entry, err error) {
	err = p.read("entries", func() { entries = slices.Clone(p.w.events[at]) })
	return entries, err
}

func (p *process) prepared(_ context.Context, at place) (r *record, err error) {
	err = p.read("prepared", func() {
		if got, ok := p.w.preparedBy[at]; ok {
			r = &got
		}
	})
	return r, err
}

func (p *process) commits(_ context.Context, from uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		var rows []record
		if err := p.read("commits", func() { rows = slices.Clone(p.w.log) }); err != nil {
			yield(record{}, err)
			return
		}
		for _, r := range rows {
			if r.number >= from && !yield(r, nil) {
				return
			}
		}
	}
}

func (p *process) snapshot(context.Context) (*state, error) { return nil, nil }

func (p *process) putSnapshot(context.Context, uint64, string, []byte) error { return nil }

func (p *process) fingerprints(_ context.Context, asked map[string]store.Intervals, known map[identity][]string) error {
	return p.read("fingerprints", func() {
		for _, r := range p.w.log {
			for _, e := range p.w.stubs[r.place] {
				if set := asked[e.Header.Epoch]; set.Contains(e.Header.Sequence) {
					id := identity{e.Header.Epoch, e.Header.Sequence}
					known[id] = append(known[id], e.Header.Fingerprint)
				}
			}
		}
	})
}

func (p *process) held(context.Context, []store.Quarantined) (held []store.Held, err error) {
	err = p.read("held", func() {
		for _, r := range p.w.log {
			for _, q := range p.w.heldRows[r.place] {
				held = append(held, store.Held{Quarantined: q})
			}
		}
	})
	return held, err
}

// sweep removes what is of no commit, of numbers that have one.
func (p *process) sweep(_ context.Context, from, to uint64) (int, error) {
	return 0, p.read("sweep", func() {
		of := make(map[place]bool)
		for _, r := range p.w.log {
			of[r.place] = true
		}
		dead := func(at place) bool { return at.number >= from && at.number <= to && !of[at] }
		maps.DeleteFunc(p.w.events, func(at place, _ []store.Entry) bool { return dead(at) })
		maps.DeleteFunc(p.w.stubs, func(at place, _ []store.Entry) bool { return dead(at) })
		maps.DeleteFunc(p.w.preparedBy, func(at place, _ record) bool { return dead(at) })
	})
}

var _ tables = (*process)(nil)

// start makes a process that opens the store.
func (w *world) start(name int) *process {
	p := &process{w: w, name: name, step: make(chan string), turn: make(chan string)}
	p.store = &Store{
		server: &server{addr: "model"}, db: p, uid: "process-" + strconv.Itoa(name), log: slog.New(slog.DiscardHandler), state: new(state),
		opts: Options{Now: func() time.Time { return time.UnixMilli(1) }}.withDefaults(),
	}
	p.run(func(ctx context.Context) error {
		err := p.store.begin(ctx)
		p.failed = err != nil
		return err
	})
	return p
}

// run lets the process do something, step by step.
func (p *process) run(f func(context.Context) error) {
	go func() {
		err := f(context.Background())
		if errors.Is(err, ErrCorrupt) {
			p.step <- "corrupt: " + err.Error()
			<-p.turn
		}
		if errors.Is(err, store.ErrFenced) {
			p.over = err
		}
		p.step <- ""
	}()
	p.asks = <-p.step
}

// commit lets it commit some events.
func (p *process) commit(b store.Batch) {
	p.run(func(ctx context.Context) error {
		out, err := p.store.Commit(ctx, b)
		if err != nil {
			return err
		}
		if p.over != nil {
			return fmt.Errorf("%w: it committed after it was told that it must not", ErrCorrupt)
		}
		if len(b.Quarantined) == 0 && len(out.Added)+out.Duplicates != len(b.Entries) {
			return fmt.Errorf("%w: %d added and %d duplicates of %d", ErrCorrupt, len(out.Added), out.Duplicates, len(b.Entries))
		}
		for i := range b.Entries {
			p.w.promised[b.Entries[i].Header.Fingerprint] = true
		}
		return nil
	})
}

// check compares what readers see with what they may see.
func (w *world) check() {
	seen := make(map[string]bool)
	for i, r := range w.log {
		st, err := ParseStatement(r.statement)
		if err != nil || r.number != uint64(i+1) || i > 0 && st.Prev != w.log[i-1].digest || i == 0 && st.Prev != "" {
			w.r.Fatalf("commit %d does not follow: %v", r.number, err)
		}
		if i > 0 && r.writer < w.log[i-1].writer {
			w.r.Fatalf("commit %d is of writer %d, behind one of %d", r.number, r.writer, w.log[i-1].writer)
		}
		rows := w.events[r.place]
		if int64(len(rows)) != st.Events() || len(w.stubs[r.place]) != len(rows) {
			w.r.Fatalf("commit %d has %d rows and %d stubs, its statement says %d", r.number, len(rows), len(w.stubs[r.place]), st.Events())
		}
		for i := range rows {
			finger := rows[i].Header.Fingerprint
			if seen[finger] {
				w.r.Fatalf("event %.8s is there twice", finger)
			}
			seen[finger] = true
		}
	}
	for _, of := range []map[string]bool{w.shown, w.promised} {
		for finger := range of {
			if !seen[finger] {
				w.r.Fatalf("event %.8s is lost", finger)
			}
		}
	}
	w.shown = seen
}

func event(n int) store.Entry {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	return store.Entry{Header: profile.Header{Epoch: "e" + strconv.Itoa(n%2), Sequence: int64(n/2 + 1), Fingerprint: hex.EncodeToString(sum[:]), Tenant: "acme"}}
}

// A story is what several processes do at a time to one store, with everything that
// can go wrong. Whatever happens, what readers see is each event once, what a Commit
// answered for among it, and nothing that they saw is gone again.
func TestProtocol(t *testing.T) {
	// A story takes a millisecond, where others of this package take seconds.
	checks := flag.Lookup("rapid.checks").Value
	was := checks.String()
	if err := checks.Set(was + "00"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Set(was) }()
	rapid.Check(t, func(r *rapid.T) {
		w := &world{
			r: r, tokens: make(map[string]bool), generations: make(map[int64]string), stubs: make(map[place][]store.Entry),
			heldRows: make(map[place][]store.Quarantined), preparedBy: make(map[place]record), events: make(map[place][]store.Entry),
			view: make(map[string]int), viewTokens: make(map[string]bool), promised: make(map[string]bool),
		}
		var alive []*process
		started, events := 0, 0
		begin := func() {
			started++
			alive = append(alive, w.start(started))
		}
		// Whatever is in the midst of something at the end is let go.
		defer func() {
			for _, p := range alive {
				p.abandon()
			}
		}()
		begin()
		faults := rapid.IntRange(0, 6).Draw(r, "faults")
		for range rapid.IntRange(20, 250).Draw(r, "steps") {
			switch {
			case len(w.late) > 0 && rapid.IntRange(0, 9).Draw(r, "late") == 0:
				i := rapid.IntRange(0, len(w.late)-1).Draw(r, "which")
				f := w.late[i]
				w.late = slices.Delete(w.late, i, i+1)
				f()
			case rapid.IntRange(0, 99).Draw(r, "amnesia") == 0:
				w.forget()
				w.debris = true
			case len(alive) == 0 || len(alive) < 3 && rapid.IntRange(0, 29).Draw(r, "begin") == 0:
				begin()
			default:
				p := alive[rapid.IntRange(0, len(alive)-1).Draw(r, "process")]
				if p.failed || rapid.IntRange(0, 79).Draw(r, "kill") == 0 {
					p.abandon()
					alive = slices.DeleteFunc(alive, func(o *process) bool { return o == p })
					break
				}
				if p.asks == "" {
					var b store.Batch
					for range rapid.IntRange(0, 3).Draw(r, "events") {
						n := rapid.IntRange(max(0, events-4), events).Draw(r, "event")
						events = max(events, n+1)
						b.Entries = append(b.Entries, event(n))
					}
					if rapid.IntRange(0, 4).Draw(r, "garbage") == 0 {
						b.Quarantined = append(b.Quarantined, store.Quarantined{Data: []byte(strconv.Itoa(rapid.IntRange(0, 30).Draw(r, "message")))})
					}
					p.commit(b)
				}
				p.proceed(&faults)
			}
			w.check()
		}
		// Then all is quiet, and one process puts everything once more.
		for _, p := range alive {
			p.abandon()
		}
		alive = nil
		for _, f := range w.late {
			f()
		}
		w.check()
		none := 0
		begin()
		last := alive[0]
		finish := func() {
			for last.asks != "" {
				last.proceed(&none)
			}
			if last.over != nil {
				r.Fatalf("the last one was fenced: %v", last.over)
			}
		}
		finish()
		var b store.Batch
		for n := range events {
			b.Entries = append(b.Entries, event(n))
		}
		last.commit(b)
		finish()
		w.check()
		for n := range events {
			if finger := event(n).Header.Fingerprint; !w.shown[finger] || !w.debris && w.view[finger] != 1 {
				r.Fatalf("event %d: shown %v, in the view %d times", n, w.shown[finger], w.view[finger])
			}
		}
	})
}

// proceed lets p take its next step, and waits for what it wants to do then: one
// process moves at a time.
func (p *process) proceed(faults *int) {
	if p.asks == "" {
		return
	}
	if _, what, corrupt := strings.Cut(p.asks, "corrupt: "); corrupt {
		p.w.r.Fatalf("process %d: %s", p.name, what)
	}
	verdict := done
	if *faults > 0 && rapid.IntRange(0, 7).Draw(p.w.r, "fault") == 0 {
		*faults--
		verdicts := []string{refused}
		if strings.HasPrefix(p.asks, "put") {
			verdicts = append(verdicts, answered, later)
		}
		switch p.asks {
		case "put events":
			verdicts = append(verdicts, poisoned, viewless)
		case "put commit", "put generation":
			verdicts = append(verdicts, poisoned)
		}
		verdict = rapid.SampledFrom(verdicts).Draw(p.w.r, "verdict")
	}
	p.w.r.Logf("process %d: %s: %s", p.name, p.asks, verdict)
	p.turn <- verdict
	p.asks = <-p.step
}

// abandon ends p: nothing that it still asks for happens.
func (p *process) abandon() {
	for p.asks != "" {
		p.turn <- refused
		p.asks = <-p.step
	}
}
