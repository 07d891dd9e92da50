// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A Store is what is tested. Close after an error of Commit MUST be to it what
// a kill is: nothing is put in order.
type Store interface {
	store.Writer
	store.Reader
	Close() error
}

// A Subject says how to come by a store.
type Subject struct {
	// Open opens the store in dir, or makes it. fault is to be called at every
	// point of a commit at which a kill would leave something else behind; its
	// error ends the commit there.
	Open func(dir string, fault func(point string) error) (Store, error)
	// Check looks at what lies in dir while no store has it open, by other means
	// than the store's own. May be nil.
	Check func(t TB, dir string)
	// Volatile says that the store forgets everything when it is closed, as it must
	// when it is killed. What others have to bring back after a restart, it has to
	// have lost; and where others can be killed at every step on the way to a disk,
	// a commit of it fails before it took effect or after.
	Volatile bool
}

// leastPoints returns how many points a commit has at which it can end: without
// that many, a store does not call fault.
func (s Subject) leastPoints() int {
	if s.Volatile {
		return 2
	}
	return 5
}

// A TB is what the checks need of a test, be it one of testing or of rapid.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Run checks the subject.
func Run(t *testing.T, s Subject) {
	t.Run("empty", s.empty)
	t.Run("queries", func(t *testing.T) { s.queries(t, false) })
	t.Run("duplicates", s.duplicates)
	t.Run("conflicts", s.conflicts)
	t.Run("quarantine", s.quarantine)
	t.Run("held", s.held)
	t.Run("unfit", s.unfit)
	t.Run("readers", s.readers)
	t.Run("epochs", s.epochs)
	t.Run("statements", s.statements)
	t.Run("fences", s.fences)
	t.Run("restart", s.restart)
	t.Run("kills", s.kills)
	t.Run("machine", s.machine)
	s.compaction(t)
}

func (s Subject) open(t testing.TB, dir string) Store {
	t.Helper()
	st, err := s.Open(dir, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if s.Check != nil {
			s.Check(t, dir)
		}
	})
	return st
}

func commit(t testing.TB, st Store, b store.Batch) store.Committed {
	t.Helper()
	c, err := st.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func scan(t testing.TB, st store.Reader, q store.Query) []store.Entry {
	t.Helper()
	var out []store.Entry
	for e, err := range st.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// alike compares bytes at once: one by one they take most of the time of a test.
var alike = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal)),
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, alike); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func (s Subject) empty(t *testing.T) {
	st := s.open(t, t.TempDir())
	same(t, "scan", []store.Entry(nil), scan(t, st, store.Query{}))
	same(t, "sequences", map[string]store.Intervals{}, st.Sequences())
	c := commit(t, st, store.Batch{StreamSeq: 9})
	if c.Number != 0 || st.StreamSeq() != 9 {
		t.Errorf("nothing made commit %d, stream sequence %d", c.Number, st.StreamSeq())
	}
	if st.Epoch("none") != nil {
		t.Error("an epoch that never was is known")
	}
}

// queries compares every kind of query with the same done over all entries. With
// compacting these are in part where a compaction put them.
func (s Subject) queries(t *testing.T, compacting bool) {
	st := s.open(t, t.TempDir())
	acme, other := NewEpoch(t, "acme", "gateway-0"), NewEpoch(t, "other", "gateway-0")
	other.Version = "1.9.0" // which no query minds
	var all []store.Entry
	for n := range 4 {
		if compacting && n%2 == 1 {
			compact(t, st)
		}
		var b store.Batch
		for i := range 3 {
			if i == 1 { // so that a trace has events of both tenants and of two commits
				acme.Trace = NewUID()
				other.Trace = acme.Trace
			}
			b.Entries = append(b.Entries, acme.Operation()...)
			b.Entries = append(b.Entries, other.Operation()...)
		}
		all = append(all, commit(t, st, b).Added...)
	}
	mid := all[len(all)/2]
	cursor := store.Cursor{Commit: mid.Commit, Pos: mid.Pos}
	for name, q := range map[string]store.Query{
		"all":               {},
		"since":             {Since: mid.Header.Time},
		"until":             {Until: mid.Header.Time},
		"range":             {Since: mid.Header.Time - 3, Until: mid.Header.Time + 3},
		"tenant":            {Tenant: "acme"},
		"nobody":            {Tenant: "nobody"},
		"kinds":             {Kinds: []string{profile.KindOutcome, profile.KindResult}},
		"event":             {Event: mid.Header.MetadataUID},
		"no event":          {Event: NewUID()},
		"operation":         {Operation: mid.Header.OperationUID},
		"no operation":      {Operation: NewUID()},
		"trace":             {Trace: mid.Header.TraceUID},
		"trace, descending": {Trace: mid.Header.TraceUID, Descending: true, Limit: 5},
		"trace, after":      {Trace: mid.Header.TraceUID, After: cursor},
		"trace and tenant":  {Trace: mid.Header.TraceUID, Tenant: "other", Kinds: []string{profile.KindOutcome}},
		"all three":         {Trace: mid.Header.TraceUID, Event: mid.Header.MetadataUID, Operation: mid.Header.OperationUID},
		"event of another":  {Event: mid.Header.MetadataUID, Tenant: "nobody"},
		"epoch":             {Epoch: other.UID},
		"texts":             {Texts: map[string][]string{"principal": {"user-3", "nobody", "user-5"}, "method": {"CreateSandbox"}}},
		"texts, descending": {Texts: map[string][]string{"principal": {"user-3"}}, Tenant: "acme", Descending: true, Limit: 3, AsOf: mid.Commit},
		"no such text":      {Texts: map[string][]string{"principal": {}}},
		"empty text":        {Texts: map[string][]string{"evaluation_uid": {""}}},
		"text of a number":  {Texts: map[string][]string{"time": {"7"}}},
		"text of the bytes": {Texts: map[string][]string{"_raw": {"x"}}},
		"texts, operation":  {Texts: map[string][]string{"kind": {profile.KindOutcome}}, Operation: mid.Header.OperationUID},
		"after":             {After: cursor},
		"before":            {After: cursor, Descending: true},
		"descending":        {Descending: true},
		"limit":             {Limit: 7},
		"last":              {Limit: 5, Descending: true},
		"as of":             {AsOf: mid.Commit},
		"as of, descending": {AsOf: mid.Commit, Descending: true, Limit: 4, Tenant: "acme"},
		"as of, operation":  {AsOf: mid.Commit - 1, Operation: mid.Header.OperationUID},
		"as of, trace":      {AsOf: mid.Commit, Trace: mid.Header.TraceUID},
		"after and tenant":  {After: cursor, Tenant: "other", Kinds: []string{profile.KindEvaluation}, Limit: 2},
		"before and tenant": {After: cursor, Tenant: "other", Descending: true, Limit: 4},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, "scan", apply(q, all), scan(t, st, q))
			q.WithoutRaw = true
			same(t, "scan without raw", apply(q, all), scan(t, st, q))
		})
	}
}

// apply does a query over a list in commit order.
func apply(q store.Query, all []store.Entry) []store.Entry {
	all = slices.Clone(all)
	if q.Descending {
		slices.Reverse(all)
	}
	var out []store.Entry
	for _, e := range all {
		h, c := e.Header, store.Cursor{Commit: e.Commit, Pos: e.Pos}.Compare(q.After)
		switch {
		case q.Since != 0 && h.Time < q.Since, q.Until != 0 && h.Time >= q.Until,
			q.Tenant != "" && h.Tenant != q.Tenant, q.Kinds != nil && !slices.Contains(q.Kinds, h.Kind),
			q.Event != "" && h.MetadataUID != q.Event, q.Operation != "" && h.OperationUID != q.Operation,
			q.Trace != "" && h.TraceUID != q.Trace,
			q.Epoch != "" && h.Epoch != q.Epoch,
			!texts(q, h),
			q.AsOf != 0 && e.Commit > q.AsOf,
			q.After != store.Cursor{} && (q.Descending && c >= 0 || !q.Descending && c <= 0),
			q.Limit > 0 && len(out) == q.Limit:
			continue
		}
		if q.WithoutRaw {
			e.Raw = nil
		}
		out = append(out, e)
	}
	return out
}

// texts does the part of a query that names columns.
func texts(q store.Query, h profile.Header) bool {
	have := map[string]string{"principal": h.Principal, "method": h.Method, "evaluation_uid": h.EvaluationUID, "kind": h.Kind}
	for column, values := range q.Texts {
		if v, ok := have[column]; !ok || !slices.Contains(values, v) {
			return false
		}
	}
	return true
}

func (s Subject) duplicates(t *testing.T) {
	st := s.open(t, t.TempDir())
	e := NewEpoch(t, "acme", "gateway-0")
	first := store.Batch{Entries: append([]store.Entry{e.Start()}, e.Operation()...), StreamSeq: 4}
	commit(t, st, first)
	again := commit(t, st, first)
	if again.Number != 0 || again.Duplicates != 4 || len(again.Added) != 0 {
		t.Errorf("the same batch again: %+v", again)
	}
	more := e.Operation()
	mixed := commit(t, st, store.Batch{Entries: slices.Concat(first.Entries, more, more), StreamSeq: 14})
	if mixed.Number != 2 || mixed.Duplicates != 7 || len(mixed.Conflicts) != 0 {
		t.Errorf("half of it again: commit %d, %d duplicates, %d conflicts", mixed.Number, mixed.Duplicates, len(mixed.Conflicts))
	}
	same(t, "sequences", map[string]store.Intervals{e.UID: {{First: 1, Last: 7}}}, st.Sequences())
	if n := len(scan(t, st, store.Query{})); n != 7 {
		t.Errorf("%d events stored, not 7", n)
	}
}

func (s Subject) conflicts(t *testing.T) {
	st := s.open(t, t.TempDir())
	e := NewEpoch(t, "acme", "gateway-0")
	commit(t, st, store.Batch{Entries: []store.Entry{e.Start()}})
	fork := e.Fork()
	commit(t, st, store.Batch{Entries: e.Operation()})
	theirs := fork.Operation()
	c := commit(t, st, store.Batch{Entries: theirs})
	if len(c.Conflicts) != 3 || len(c.Added) != 3 || c.Duplicates != 0 {
		t.Fatalf("%d conflicts, %d added, %d duplicates", len(c.Conflicts), len(c.Added), c.Duplicates)
	}
	again := commit(t, st, store.Batch{Entries: theirs})
	if again.Duplicates != 3 || again.Number != 0 {
		t.Errorf("the same conflicts again: %+v", again)
	}
	x, y := e.Fork(), e.Fork()
	within := commit(t, st, store.Batch{Entries: slices.Concat(x.Operation(), y.Operation())})
	if len(within.Conflicts) != 3 || len(within.Added) != 6 {
		t.Errorf("within a batch: %d conflicts, %d added", len(within.Conflicts), len(within.Added))
	}
	state := st.Epoch(e.UID)
	same(t, "conflicts", store.Intervals{{First: 2, Last: 7}}, state.Conflicts)
	same(t, "stored", store.Intervals{{First: 1, Last: 7}}, state.Stored)
	if state.HeadSequence != 7 || state.HeadFingerprint != x.Fingerprint() {
		t.Errorf("head is %d %s, of the first event with that sequence it is %s", state.HeadSequence, state.HeadFingerprint, x.Fingerprint())
	}
	if n := len(scan(t, st, store.Query{})); n != 13 {
		t.Errorf("%d events stored, not 13", n)
	}
}

func (s Subject) quarantine(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	e := NewEpoch(t, "acme", "gateway-0")
	start := e.Start()
	second := e.API(profile.KindOutcome, NewUID(), "")
	b := store.Batch{
		Entries: []store.Entry{start}, StreamSeq: 3,
		Quarantined: []store.Quarantined{
			{Subject: "a", Data: []byte("\x00\xffno event"), StreamSeq: 2, Reason: "not JSON", Headers: map[string][]string{"X": {"1", "2"}}},
			{Subject: "b", Data: []byte("claims to be the second"), StreamSeq: 3, Reason: "forged", Epoch: e.UID, Sequence: 2},
		},
	}
	commit(t, st, b)
	same(t, "sequences", map[string]store.Intervals{e.UID: {{First: 1, Last: 2}}}, st.Sequences())
	if again := commit(t, st, b); again.Number != 0 || again.Duplicates != 3 {
		t.Errorf("the same again: %+v", again)
	}
	// A stream that was made anew counts from 1 again: another message.
	if c := commit(t, st, store.Batch{StreamSeq: 2, Quarantined: []store.Quarantined{{Subject: "a", Data: []byte("another"), StreamSeq: 2}}}); c.Number == 0 {
		t.Error("another message in the same place of the stream is taken for the same")
	}
	// The claim was false: here is the second event.
	c := commit(t, st, store.Batch{Entries: []store.Entry{second}, StreamSeq: 4})
	if len(c.Added) != 1 || len(c.Conflicts) != 0 {
		t.Errorf("a quarantined claim kept the event out: %+v", c)
	}
	same(t, "stored", store.Intervals{{First: 1, Last: 2}}, st.Epoch(e.UID).Stored)
}

func (s Subject) epochs(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	stopped, crashed, foreign := NewEpoch(t, "acme", "gateway-0"), NewEpoch(t, "acme", "gateway-0"), NewEpoch(t, "acme", "gateway-1")
	commit(t, st, store.Batch{Entries: []store.Entry{stopped.Start(), crashed.Start(), foreign.Start(), stopped.Stop()}})
	next := NewEpoch(t, "acme", "gateway-0")
	closes := func(e *Epoch, n int64) store.Closed {
		return store.Closed{Epoch: e.UID, LastSequence: n, Fingerprint: e.Fingerprint(), By: store.ClosedByCrash}
	}
	// It knows of one event more than has come, and it cannot speak for another.
	commit(t, st, store.Batch{Entries: []store.Entry{next.Start(closes(crashed, 2), closes(foreign, 1))}})
	if c := st.Epoch(stopped.UID).Closed; c == nil || c.By != store.ClosedByStop || c.LastSequence != 2 || c.Fingerprint != stopped.Fingerprint() {
		t.Errorf("stopped epoch: closed is %+v", c)
	}
	if c := st.Epoch(crashed.UID).Closed; c == nil || *c != closes(crashed, 2) {
		t.Errorf("crashed epoch: closed is %+v", c)
	}
	if c := st.Epoch(foreign.UID).Closed; c != nil {
		t.Errorf("an epoch was closed by another emitter: %+v", c)
	}
	if c := st.Epoch(next.UID); c.Closed != nil || c.Tenant != "acme" || c.Emitter != "gateway-0" {
		t.Errorf("new epoch: %+v", c)
	}
	if n := len(st.Epochs()); n != 4 {
		t.Errorf("%d epochs, not 4", n)
	}
}

func (s Subject) statements(t *testing.T) {
	st := s.open(t, t.TempDir())
	e := NewEpoch(t, "acme", "gateway-0")
	for range 3 {
		commit(t, st, store.Batch{Entries: e.Operation()})
	}
	for from, want := range map[uint64]int{1: 3, 2: 2, 4: 0} {
		n := 0
		for b, err := range st.Statements(from) {
			if err != nil || len(b) == 0 {
				t.Errorf("statement: %v", err)
			}
			n++
		}
		if n != want {
			t.Errorf("%d statements from %d on, not %d", n, from, want)
		}
	}
}

// fences lets an old holder of a lease come back, also with nothing new and, where
// that is possible, after a restart, and looks that it changed nothing.
func (s Subject) fences(t *testing.T) {
	dir := t.TempDir()
	e := NewEpoch(t, "acme", "gateway-0")
	first, second := e.Operation(), e.Operation()
	st := s.open(t, dir)
	commit(t, st, store.Batch{Entries: first, StreamSeq: 3})
	commit(t, st, store.Batch{Entries: second, StreamSeq: 6, Fence: 2})
	if !s.Volatile {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		st = s.open(t, dir)
	}
	for name, b := range map[string]store.Batch{
		"before the lease": {Entries: e.Fork().Operation(), StreamSeq: 9},
		"old holder":       {Entries: e.Fork().Operation(), StreamSeq: 9, Fence: 1},
		"nothing new":      {Entries: second, StreamSeq: 9, Fence: 1},
		"quarantine":       {Quarantined: []store.Quarantined{{Data: []byte("x"), StreamSeq: 9}}, StreamSeq: 9, Fence: 1},
	} {
		if _, err := st.Commit(t.Context(), b); !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(scan(t, st, store.Query{})); n != 6 || st.StreamSeq() != 6 {
		t.Errorf("%d events stored, not 6; stream sequence %d, not 6", n, st.StreamSeq())
	}
	c := commit(t, st, store.Batch{Entries: e.Operation(), StreamSeq: 9, Fence: 2})
	d := commit(t, st, store.Batch{Entries: e.Operation(), StreamSeq: 12, Fence: 7})
	if c.Number != 3 || d.Number != 4 {
		t.Errorf("the holder made commit %d, the next one %d", c.Number, d.Number)
	}
}

// restart closes a store and opens it again: everything is there, or nothing.
func (s Subject) restart(t *testing.T) {
	dir := t.TempDir()
	e := NewEpoch(t, "acme", "gateway-0")
	b := store.Batch{
		Entries: append([]store.Entry{e.Start()}, e.Operation()...), StreamSeq: 5,
		Quarantined: []store.Quarantined{{Subject: "a", Data: []byte("x"), StreamSeq: 5, Epoch: e.UID, Sequence: 9}},
	}
	st := s.open(t, dir)
	commit(t, st, b)
	type state struct {
		Entries    []store.Entry
		Epoch      *store.Epoch
		StreamSeq  uint64
		Statements []string
	}
	look := func(st Store) state {
		l := state{scan(t, st, store.Query{}), st.Epoch(e.UID), st.StreamSeq(), nil}
		for b, err := range st.Statements(1) {
			if err != nil {
				t.Fatal(err)
			}
			l.Statements = append(l.Statements, string(b))
		}
		return l
	}
	want := look(st)
	if len(want.Entries) != 4 || len(want.Statements) != 1 {
		t.Errorf("%d events, %d statements", len(want.Entries), len(want.Statements))
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = s.open(t, dir)
	if s.Volatile {
		want = state{}
	}
	same(t, "after a restart", want, look(st))
	c := commit(t, st, b)
	if s.Volatile && (c.Number != 1 || c.Duplicates != 0) || !s.Volatile && (c.Number != 0 || c.Duplicates != 5) {
		t.Errorf("the same batch after a restart: commit %d, %d duplicates", c.Number, c.Duplicates)
	}
}
