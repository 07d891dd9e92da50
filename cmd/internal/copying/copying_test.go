// SPDX-License-Identifier: Apache-2.0

package copying

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/collector/verify"
)

// childOf has, in a process that a test starts to be killed, what to copy.
const childOf = "DOCKET_TEST_COPY"

func TestMain(m *testing.M) {
	if names := os.Getenv(childOf); names != "" {
		child(strings.Split(names, "\n"))
		return
	}
	goleak.VerifyTestMain(m)
}

// child copies in small parts, and says so after each.
func child(names []string) {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	from, err := OpenSource(ctx, names[0])
	if err == nil {
		var to *Destination
		if to, err = OpenDestination(ctx, names[1], names[2], new(config.Config), log); err == nil {
			_, err = Run(ctx, from, to, Options{Events: 3, Progress: func(done, _ int64) { fmt.Println(done) }})
			err = errors.Join(err, to.Close(ctx), from.Close())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// destination opens one and closes it after do.
func destination(t *testing.T, name, data string, do func(*Destination)) {
	t.Helper()
	to, err := OpenDestination(t.Context(), name, data, new(config.Config), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	do(to)
	if err := to.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// A story is what a store is filled with.
type story struct {
	t      *testing.T
	epochs []*storetest.Epoch
	stream uint64
}

// fill stores n commits of operations of two epochs, and messages in quarantine.
func (s *story) fill(name, data string, n int) {
	s.t.Helper()
	first := s.epochs == nil
	if first {
		s.epochs = []*storetest.Epoch{storetest.NewEpoch(s.t, "acme", "gw-0"), storetest.NewEpoch(s.t, "globex", "gw-1")}
	}
	destination(s.t, name, data, func(to *Destination) {
		for i := range n {
			var b store.Batch
			for j, e := range s.epochs {
				if first && i == 0 {
					b.Entries = append(b.Entries, e.Start())
				}
				for range 2 + j {
					b.Entries = append(b.Entries, e.Operation()...)
				}
			}
			for j := range b.Entries {
				s.stream += 1 + s.stream%2 // some were somebody else's
				b.Entries[j].StreamSeq = s.stream
			}
			if i%2 == 0 {
				s.stream++
				b.Quarantined = []store.Quarantined{{
					Subject: "docket.activity.x", Headers: map[string][]string{"a": {"b", "c"}}, Data: []byte{0xff, byte(i)}, StreamSeq: s.stream, Reason: "undecodable",
				}}
			}
			b.StreamSeq = s.stream
			if _, err := to.commit(s.t.Context(), b); err != nil {
				s.t.Fatal(err)
			}
		}
	})
}

// content is what a store gives of events and messages; times of storing and places
// in commits are its own.
type content struct {
	Raw     []string
	Streams []uint64
	Held    []store.Quarantined
}

func contentOf(t *testing.T, name string) (c content) {
	t.Helper()
	from, err := OpenSource(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	for e, err := range from.read.Scan(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		c.Raw, c.Streams = append(c.Raw, string(e.Raw)), append(c.Streams, e.StreamSeq)
	}
	for h, err := range from.read.Quarantined(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c.Held = append(c.Held, h.Quarantined)
	}
	return c
}

// copied copies, and fails unless the destination has everything.
func copied(t *testing.T, from, to, data string, opts Options) (done Summary) {
	t.Helper()
	source, err := OpenSource(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	destination(t, to, data, func(d *Destination) { done, err = Run(t.Context(), source, d, opts) })
	if err = errors.Join(err, source.Close()); err != nil {
		t.Fatal(err)
	}
	if !done.Compared.Whole() {
		t.Errorf("not whole: %+v", done.Compared)
	}
	return done
}

// sound fails unless docket verify finds nothing.
func sound(t *testing.T, name, data string) {
	t.Helper()
	opts := verify.Options{Deep: true}
	if InTables(name) {
		r, err := clickhouse.OpenReader(t.Context(), name, clickhouse.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		opts.Tables, name = r.Evidence(), data
	}
	report, err := verify.Run(t.Context(), name, opts)
	if err != nil || report.Code() != verify.CodeFine {
		t.Errorf("verify: %v, %v", err, report)
	}
}

func TestLakes(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	s := &story{t: t}
	s.fill(a, "", 4)
	want := contentOf(t, a)
	done := copied(t, a, b, "", Options{Events: 7})
	if d := cmp.Diff(want, contentOf(t, b)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if done.Events != int64(len(want.Raw)) || done.Quarantined != 2 || done.Duplicates != 0 || done.StreamSeq != s.stream || done.Compared.Equal != 2 {
		t.Errorf("%+v, %+v", done, done.Compared)
	}
	sound(t, b, "")

	// Once more, and then what came since.
	if done := copied(t, a, b, "", Options{}); done.Events != 0 || done.Passed != 4 {
		t.Errorf("%+v", done)
	}
	s.fill(a, "", 3)
	done = copied(t, a, b, "", Options{})
	want = contentOf(t, a)
	if d := cmp.Diff(want, contentOf(t, b)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if done.Events != 45 || done.Passed != 4 || done.Through != 7 {
		t.Errorf("%+v", done)
	}
	sound(t, b, "")

	// Without a word of how far it came, all is a duplicate.
	if err := os.WriteFile(filepath.Join(b, CursorPath), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done := copied(t, a, b, "", Options{}); done.Events != 0 || done.Passed != 0 || done.Duplicates != len64(want.Raw)+len64(want.Held) {
		t.Errorf("%+v", done)
	}
	// A word of a destination that was put back to an earlier state is none.
	kept := mustRead(t, filepath.Join(b, CursorPath))
	c := filepath.Join(dir, "c")
	destination(t, c, "", func(*Destination) {})
	if err := os.WriteFile(filepath.Join(c, CursorPath), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if done := copied(t, a, c, "", Options{}); done.Events != len64(want.Raw) || done.Passed != 0 {
		t.Errorf("%+v", done)
	}
}

func len64[T any](list []T) int64 { return int64(len(list)) }

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is there already stays, and is told.
func TestOthers(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	s := &story{t: t}
	s.fill(a, "", 2)
	destination(t, b, "", func(to *Destination) {
		other := storetest.NewEpoch(t, "initech", "gw-9")
		batch := store.Batch{Entries: other.Operation(), StreamSeq: 3}
		for e := range entries(t, a) { // some of it
			if e.Commit == 1 {
				batch.Entries = append(batch.Entries, e)
				batch.StreamSeq = max(batch.StreamSeq, e.StreamSeq)
			}
		}
		// The epoch went on there.
		batch.Entries = append(batch.Entries, s.epochs[0].Fork().Operation()...)
		if _, err := to.commit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	})
	done := copied(t, a, b, "", Options{})
	if done.Duplicates != 17 || done.Events != 15 || done.Compared.Equal != 1 || done.Compared.Epochs != 2 {
		t.Errorf("%+v, %+v", done, done.Compared)
	}
	if got := len(contentOf(t, b).Raw); got != 17+15+6 {
		t.Errorf("%d events", got)
	}
	sound(t, b, "")

	// Two events have one place.
	destination(t, b, "", func(to *Destination) {
		fork := s.epochs[1].Fork().Operation()
		if _, err := to.commit(t.Context(), store.Batch{Entries: fork, StreamSeq: 1000}); err != nil {
			t.Fatal(err)
		}
	})
	s.fill(a, "", 1)
	if done := copied(t, a, b, "", Options{}); done.Conflicts != 6 {
		t.Errorf("%+v", done)
	}
}

func entries(t *testing.T, name string) iter.Seq[store.Entry] {
	return func(yield func(store.Entry) bool) {
		from, err := OpenSource(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = from.Close() }()
		for e, err := range from.read.Scan(t.Context(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// A tampered reader gives other entries, or none in their place.
type tampered struct {
	reader

	with func(e *store.Entry) bool
}

func (r tampered) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for e, err := range r.reader.Scan(ctx, q) {
			if err == nil && !r.with(&e) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (r tampered) Quarantined(context.Context) iter.Seq2[store.Held, error] {
	return func(func(store.Held, error) bool) {}
}

// What the destination does not have in the end is found, and what is damaged in
// the source is not copied.
func TestLies(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	(&story{t: t}).fill(a, "", 2)
	copied(t, a, b, "", Options{})
	from, err := OpenSource(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	destination(t, b, "", func(to *Destination) {
		to.read = tampered{to.read, func(e *store.Entry) bool {
			if e.Header.Tenant == "globex" && e.Header.Sequence == 3 {
				e.Header.Fingerprint = strings.Repeat("0", 64)
			}
			return true
		}}
		c, err := Compare(t.Context(), from, to)
		if err != nil || c.Whole() || len(c.Missing) != 1 || c.MissingQuarantined != 1 || c.Equal != 1 {
			t.Errorf("%+v, %v", c, err)
		}
		for _, missing := range c.Missing {
			if !slices.Equal(missing, store.Intervals{{First: 3, Last: 3}}) {
				t.Errorf("missing %v", missing)
			}
		}
	})
	from.read = tampered{from.read, func(e *store.Entry) bool {
		if e.Commit == 2 && e.Pos == 1 {
			e.Raw = []byte(strings.Replace(string(e.Raw), "CreateSandbox", "DeleteSandbox", 1))
		}
		return true
	}}
	destination(t, filepath.Join(dir, "c"), "", func(to *Destination) {
		if _, err := Run(t.Context(), from, to, Options{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v", err)
		}
	})
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a")
	(&story{t: t}).fill(a, "", 1)
	if _, err := OpenSource(t.Context(), filepath.Join(dir, "nowhere")); !errors.Is(err, datadir.ErrNotADir) {
		t.Errorf("a source that is not there: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	d, err := datadir.Own(empty)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSource(t.Context(), empty); !errors.Is(err, ErrNothing) {
		t.Errorf("a directory without a store: %v", err)
	}
	if _, err := OpenDestination(t.Context(), empty, "", new(config.Config), testLog(t)); !errors.Is(err, datadir.ErrOwned) {
		t.Errorf("a directory that somebody has: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(home, "letters"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDestination(t.Context(), home, "", new(config.Config), testLog(t)); !errors.Is(err, datadir.ErrNotADir) {
		t.Errorf("a directory that is somebody's: %v", err)
	}
	for _, name := range []string{"clickhouse://user:hidden@127.0.0.1:1/docket", "ftp://user:hidden@127.0.0.1/docket"} {
		_, err := OpenSource(t.Context(), name)
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || hinted.Hint() == "" || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s as a source: %v", name, err)
		}
		_, err = OpenDestination(t.Context(), name, filepath.Join(dir, "ledger"), new(config.Config), testLog(t))
		if !errors.As(err, &hinted) || hinted.Hint() == "" || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s as a destination: %v", name, err)
		}
	}
	// The ledger of a lake is not that of tables.
	if _, err := OpenDestination(t.Context(), "clickhouse://user:hidden@127.0.0.1:1/docket", a, new(config.Config), testLog(t)); !errors.Is(err, ErrElsewhere) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("the directory of a lake: %v", err)
	}
}

// killed copies in processes that are killed after so many parts, until one comes to
// its end, and returns how many there were.
func killed(t *testing.T, from, to, data string, parts int) (runs int) {
	t.Helper()
	for {
		runs++
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childOf+"="+strings.Join([]string{from, to, data}, "\n"))
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if n++; n == parts {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			return runs
		} else if cmd.ProcessState.Exited() {
			t.Fatalf("run %d: %v", runs, err)
		}
		if runs > 100 {
			t.Fatal("it does not come to an end")
		}
	}
}

// Killed wherever it is, a copy goes on, and nothing is there twice.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	(&story{t: t}).fill(a, "", 4)
	if runs := killed(t, a, b, "", 6); runs < 3 {
		t.Errorf("%d runs", runs)
	}
	if d := cmp.Diff(contentOf(t, a), contentOf(t, b)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if done := copied(t, a, b, "", Options{}); done.Events != 0 {
		t.Errorf("%+v", done)
	}
	sound(t, b, "")
}
