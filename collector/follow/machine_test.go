// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// everything is the view of those who may see all.
func everything(t testing.TB) authz.View { return viewOf(t, authz.Everywhere) }

func viewOf(t testing.TB, prefix string) authz.View {
	t.Helper()
	g := &authz.Grant{Subject: "test", Prefixes: []string{prefix}}
	v, err := g.View(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func filterOf(t testing.TB, expression string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func messageOf(e *store.Entry) judge.Message {
	h := e.Header
	return judge.Message{Subject: profile.Subject(profile.Prefix, h), Data: e.Raw, Headers: map[string][]string{
		profile.HeaderEventUID: {h.MetadataUID}, profile.HeaderEpoch: {h.Epoch}, profile.HeaderSequence: {strconv.FormatInt(h.Sequence, 10)},
	}}
}

// A machine is a stream, a collector, a store, a hub and subscribers, each of
// which goes on when it is told to. The model: what the store has in the end,
// each subscriber was given once.
type machine struct {
	t       *testing.T
	r       *rapid.T
	ctx     context.Context
	now     time.Time
	epochs  []*storetest.Epoch
	stream  []judge.Message // sequence 1 is the first
	sent    []*store.Entry
	unfit   map[string]bool // events that the store refuses
	store   *memory.Store
	commits uint64
	judge   *judge.Judge // the collector's
	read    int          // messages that the collector has taken
	hub     *Hub
	at      place
	subs    []*subscriber
}

type subscriber struct {
	opts      Options // of the beginning
	from      uint64  // commits before it are not for it
	f         *follower
	token     string // "" before the first item
	got       map[string]int
	withdrawn map[identity]int
	stop      int // items until it leaves
	restart   bool
}

func newMachine(t *testing.T, r *rapid.T) *machine {
	m := &machine{
		t: t, r: r, ctx: t.Context(), now: time.UnixMilli(storetest.Start), unfit: make(map[string]bool),
		store: memory.New(memory.Options{}),
	}
	m.judge = judge.New(profile.Prefix, m.store)
	for i, tenant := range []string{"acme", "acme", "beta"} {
		m.epochs = append(m.epochs, storetest.NewEpoch(t, tenant, fmt.Sprint("gateway-", i)))
	}
	m.newHub()
	return m
}

// newHub is a start of the server.
func (m *machine) newHub() {
	h, err := New(Config{
		ID: "machine", Store: m.store, Commits: func() uint64 { return m.commits }, Now: func() time.Time { return m.now },
		Events: rapid.SampledFrom([]int{4, 16, 1000}).Draw(m.r, "kept"), Epochs: rapid.IntRange(1, 3).Draw(m.r, "epochs"),
	})
	if err != nil {
		m.r.Fatal(err)
	}
	h.judge = judge.New(profile.Prefix, m.store)
	h.begin()
	m.hub, m.at = h, place{number: 1, read: m.store.StreamSeq()}
	for _, s := range m.subs {
		s.f = nil
	}
}

func (m *machine) publish(e *store.Entry) {
	m.stream, m.sent = append(m.stream, messageOf(e)), append(m.sent, e)
}

func (m *machine) Publish(r *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(r, "events") {
		e := rapid.SampledFrom(m.epochs).Draw(r, "epoch")
		kind := rapid.SampledFrom([]string{profile.KindEvaluation, profile.KindOutcome}).Draw(r, "kind")
		entry := e.API(kind, storetest.NewUID(), "")
		if rapid.IntRange(0, 20).Draw(r, "unfit") == 0 {
			m.unfit[entry.Header.MetadataUID] = true
		}
		m.publish(&entry)
	}
}

// Again publishes an event once more, as an emitter does that got no answer.
func (m *machine) Again(r *rapid.T) {
	if len(m.sent) > 0 {
		m.publish(rapid.SampledFrom(m.sent).Draw(r, "again"))
	}
}

// Forge publishes an event in an epoch of another emitter.
func (m *machine) Forge(r *rapid.T) {
	forger := storetest.NewEpoch(m.t, "beta", "forger")
	forger.UID = rapid.SampledFrom(m.epochs).Draw(r, "epoch").UID
	if e := m.store.Epoch(forger.UID); e == nil {
		return // it would be the first, and the epoch its own
	}
	entry := forger.Start()
	m.publish(&entry)
}

// Fork publishes another event of the sequence of the next one.
func (m *machine) Fork(r *rapid.T) {
	e := rapid.SampledFrom(m.epochs).Draw(r, "epoch")
	fork := e.Fork()
	one, other := e.API(profile.KindOutcome, "a", ""), fork.API(profile.KindOutcome, "b", "")
	m.publish(&one)
	m.publish(&other)
}

// Arrive has the hub read the stream.
func (m *machine) Arrive(r *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(r, "messages") {
		seq := m.at.read + 1
		if seq > uint64(len(m.stream)) {
			return
		}
		if err := m.hub.arrive(m.stream[seq-1], seq, &m.at, false); err != nil {
			if !errors.Is(err, errBehind) {
				r.Fatal(err)
			}
			m.at.read = max(m.at.read, m.store.StreamSeq())
			return
		}
	}
}

// Commit has the collector store what comes next, or take some of it once more.
func (m *machine) Commit(r *rapid.T) {
	if back := rapid.IntRange(-20, 5).Draw(r, "back"); back > 0 {
		m.read = max(0, m.read-back)
	}
	to := min(len(m.stream), m.read+rapid.IntRange(1, 12).Draw(r, "messages"))
	var b store.Batch
	b.StreamSeq = max(uint64(to), m.store.StreamSeq())
	for ; m.read < to; m.read++ {
		h, err := m.judge.Event(m.stream[m.read])
		if err != nil || m.unfit[h.MetadataUID] {
			continue
		}
		seq := uint64(m.read + 1)
		if rapid.IntRange(0, 9).Draw(r, "other sequence") == 0 {
			seq = 0
		}
		b.Entries = append(b.Entries, store.Entry{Raw: m.stream[m.read].Data, Header: h, StreamSeq: seq})
	}
	// In another order, but for those in conflict.
	early := make(map[identity]bool)
	for i := range b.Entries {
		early[identityOf(&b.Entries[i])] = rapid.Bool().Draw(r, "early")
	}
	slices.SortStableFunc(b.Entries, func(x, y store.Entry) int {
		a, b := early[identityOf(&x)], early[identityOf(&y)]
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	})
	done, err := m.store.Commit(m.ctx, b)
	if err != nil {
		r.Fatal(err)
	}
	m.commits = max(m.commits, done.Number)
}

// Advance has the hub read what was committed.
func (m *machine) Advance(r *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "ms")) * time.Millisecond)
	if err := m.hub.advance(m.ctx); err != nil {
		r.Fatal(err)
	}
}

func (m *machine) Restart(r *rapid.T) {
	if rapid.IntRange(0, 3).Draw(r, "restart") == 0 {
		m.newHub()
	}
}

// Subscribe adds a subscriber.
func (m *machine) Subscribe(r *rapid.T) {
	if len(m.subs) == 5 {
		return
	}
	s := &subscriber{got: make(map[string]int), withdrawn: make(map[identity]int)}
	s.opts = Options{
		View: viewOf(m.t, rapid.SampledFrom([]string{"/", "acme"}).Draw(r, "view")), Whole: rapid.Bool().Draw(r, "whole"),
		Filter: filterOf(m.t, rapid.SampledFrom([]string{"", `kind == "outcome"`, `tenant == "beta" || sequence % 2 == 0`}).Draw(r, "filter")),
		Events: rapid.SampledFrom([]int{2, 8, 1000}).Draw(r, "limit"), All: rapid.Bool().Draw(r, "all"),
	}
	m.subs = append(m.subs, s)
	m.connect(r, s)
	if !s.opts.All {
		// Where it begins is decided by its first step.
		s.from = m.hub.cursor.Commit
		m.step(r, s)
	}
}

// connect has a subscriber come, or come back.
func (m *machine) connect(r *rapid.T, s *subscriber) {
	opts := s.opts
	if s.token != "" {
		opts.After, opts.All = s.token, false
	}
	var err error
	if s.f, err = m.hub.follower(m.ctx, opts, func(i Item, _ error) bool { return m.given(r, s, i) }); err != nil {
		r.Fatalf("follow: %v", err)
	}
}

// given is told of each item, and says whether the subscriber stays.
func (m *machine) given(r *rapid.T, s *subscriber, i Item) bool {
	s.token = i.Token()
	switch {
	case i.Entry != nil:
		uid := i.Entry.Header.MetadataUID
		if s.got[uid]++; s.got[uid] > 1 && s.withdrawn[identityOf(i.Entry)] == 0 {
			r.Fatalf("event %d of epoch %s came twice, token %+v", i.Entry.Header.Sequence, i.Entry.Header.Epoch, s.f.pos)
		}
		if i.Entry.Header.Emitter == "forger" {
			r.Fatal("a forged event was shown")
		}
		if !s.opts.View.Sees(i.Entry.Header.Tenant) {
			r.Fatal("an event of another tenant was shown")
		}
	case i.Gap != nil && i.Gap.Reason == GapWithdrawn:
		s.withdrawn[identity{i.Gap.Epoch, i.Gap.Ranges[0].First}]++
	case i.Missed != nil:
		if s.opts.Whole || i.Missed.Events == 0 && i.Missed.Gaps == 0 {
			r.Fatalf("missed %+v", i.Missed)
		}
		s.token, s.restart = i.Missed.From, true
		return false
	}
	s.stop--
	return s.stop != 0
}

// step lets a subscriber go on.
func (m *machine) step(r *rapid.T, s *subscriber) {
	if s.f == nil || s.restart {
		s.restart = false
		m.connect(r, s)
	}
	_, err := s.f.step(m.ctx)
	if errors.Is(err, errEnough) {
		s.f = nil
	} else if err != nil {
		r.Fatal(err)
	}
}

func (m *machine) Step(r *rapid.T) {
	if len(m.subs) == 0 {
		return
	}
	s := rapid.SampledFrom(m.subs).Draw(r, "subscriber")
	s.stop = rapid.IntRange(0, 12).Draw(r, "stop")
	for range rapid.IntRange(1, 4).Draw(r, "steps") {
		m.step(r, s)
	}
}

func (m *machine) Leave(r *rapid.T) {
	if len(m.subs) > 0 {
		s := rapid.SampledFrom(m.subs).Draw(r, "subscriber")
		if s.token != "" || s.opts.All {
			s.f = nil
		}
	}
}

// Check looks at the bounds of what is kept.
func (m *machine) Check(r *rapid.T) {
	h := m.hub
	if n := len(h.window); n > h.cfg.Events || len(h.open) > h.cfg.Epochs || len(h.tape.records)-h.tape.first > h.cfg.Events {
		r.Fatalf("the window has %d, of %d epochs", n, len(h.open))
	}
	runs, ids := 0, int64(0)
	for _, set := range h.open {
		runs, ids = runs+len(set), ids+set.Count()
	}
	if runs != h.runs || ids != int64(len(h.window)) {
		r.Fatalf("%d runs, said to be %d, of %d identities; the window has %d", runs, h.runs, ids, len(h.window))
	}
	for _, s := range m.subs {
		if s.f != nil && len(s.f.unseen) > len(s.f.pos.ahead) {
			r.Fatal("what is not seen is kept for ever")
		}
	}
}

// finish lets everything come to its end, and compares.
func (m *machine) finish(r *rapid.T) {
	e := m.epochs[0].Stop()
	m.publish(&e)
	for m.read < len(m.stream) {
		m.Commit(r)
	}
	for range 3 {
		m.Arrive(r)
		m.Advance(r)
	}
	for _, s := range m.subs {
		for range 200 {
			s.stop = -1
			m.step(r, s)
		}
		want := make(map[string]bool)
		for e, err := range m.store.Scan(m.ctx, store.Query{}) {
			if err != nil {
				r.Fatal(err)
			}
			ok, err := s.opts.Filter.Matches(&e.Header)
			if err != nil {
				r.Fatal(err)
			}
			if !ok || !s.opts.View.Sees(e.Header.Tenant) {
				continue
			}
			if e.Commit > s.from || s.opts.All {
				want[e.Header.MetadataUID] = true
			}
			if want[e.Header.MetadataUID] && s.got[e.Header.MetadataUID] == 0 {
				r.Errorf("event %d of epoch %s, commit %d, was not given to %+v at %+v", e.Header.Sequence, e.Header.Epoch, e.Commit, s.opts, s.f.pos)
			}
		}
		for uid := range s.got {
			if !want[uid] && !m.unfit[uid] {
				r.Errorf("event %s was given, which is not stored", uid)
			}
		}
	}
}

func TestMachine(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := newMachine(t, r)
		r.Repeat(rapid.StateMachineActions(m))
		m.finish(r)
	})
}
