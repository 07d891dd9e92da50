// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A desk is a hub over a store in memory that does what it is told.
type desk struct {
	*Hub
	t     *testing.T
	store *memory.Store
	last  uint64
	now   time.Time
}

func newDesk(t *testing.T, change ...func(*Config)) *desk {
	t.Helper()
	d := &desk{t: t, store: memory.New(memory.Options{}), now: time.UnixMilli(storetest.Start)}
	cfg := Config{ID: "desk", Store: d.store, Commits: func() uint64 { return d.last }, Now: func() time.Time { return d.now }}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if d.Hub, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	d.begin()
	return d
}

func (d *desk) commit(entries ...store.Entry) {
	d.t.Helper()
	done, err := d.store.Commit(d.t.Context(), store.Batch{Entries: entries})
	if err != nil {
		d.t.Fatal(err)
	}
	d.last = max(d.last, done.Number)
	if err := d.advance(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// live has events come by the stream, with sequences from one on.
func (d *desk) live(seq uint64, entries ...store.Entry) {
	for i := range entries {
		e := entries[i]
		e.StreamSeq = seq + uint64(i)
		d.show(e, 1)
	}
}

// A seat is a subscriber of a desk and what it was given.
type seat struct {
	d      *desk
	f      *follower
	items  []Item
	tokens []string
}

func (d *desk) sit(o Options) *seat {
	d.t.Helper()
	if reflect.DeepEqual(o.View, authz.View{}) {
		o.View = everything(d.t)
	}
	s := &seat{d: d}
	var err error
	s.f, err = d.follower(d.t.Context(), o, func(i Item, _ error) bool {
		s.items, s.tokens = append(s.items, i), append(s.tokens, i.Token())
		return true
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// turn gives all that there is, and returns the items.
func (s *seat) turn() []Item {
	s.d.t.Helper()
	s.items, s.tokens = nil, nil
	for {
		idle, err := s.f.step(s.d.t.Context())
		if err != nil {
			s.d.t.Fatal(err)
		}
		if idle {
			return s.items
		}
	}
}

func uids(items []Item) []string {
	var list []string
	for _, i := range items {
		if i.Entry != nil {
			list = append(list, i.Entry.Header.MetadataUID)
		}
	}
	return list
}

func uidsOf(entries ...store.Entry) []string {
	var list []string
	for i := range entries {
		list = append(list, entries[i].Header.MetadataUID)
	}
	return list
}

func (d *desk) same(what string, items []Item, want ...store.Entry) {
	d.t.Helper()
	if got := uids(items); !slices.Equal(got, uidsOf(want...)) {
		d.t.Errorf("%s: given %v, want %v", what, got, uidsOf(want...))
	}
}

func TestWhereToBegin(t *testing.T) {
	d := newDesk(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	old := append([]store.Entry{e.Start()}, e.Operation()...)
	d.commit(old...)
	coming := e.Operation()
	d.live(5, coming[0])
	seats := map[string]*seat{
		"now":      d.sit(Options{}),
		"all":      d.sit(Options{All: true}),
		"last":     d.sit(Options{Last: 2}),
		"lasts":    d.sit(Options{Last: 1, Filter: filterOf(t, `kind == "evaluation"`)}),
		"more":     d.sit(Options{Last: 100}),
		"since":    d.sit(Options{Since: time.UnixMilli(old[2].Header.Time)}),
		"filtered": d.sit(Options{All: true, Filter: filterOf(t, `kind == "outcome"`)}),
		"foreign":  d.sit(Options{All: true, View: viewOf(t, "beta")}),
		"nobody":   d.sit(Options{All: true, View: viewOf(t, "nobody")}),
	}
	before := map[string][]store.Entry{
		"all": old, "last": old[2:], "lasts": old[1:], "more": old, "since": old[2:], "filtered": {old[3]},
	}
	for name, s := range seats {
		want := before[name]
		if name != "filtered" && name != "foreign" && name != "nobody" {
			want = append(slices.Clone(want), coming[0])
		}
		if name == "lasts" {
			want = []store.Entry{old[1], coming[0]}
		}
		d.same(name, s.turn(), want...)
	}
	d.commit(coming...) // of which one was shown
	for name, s := range seats {
		switch name {
		case "foreign", "nobody", "lasts":
			d.same(name+" then", s.turn())
		case "filtered":
			d.same(name+" then", s.turn(), coming[2])
		default:
			d.same(name+" then", s.turn(), coming[1:]...)
		}
	}
	stored := func(o Options) (items []Item) {
		o.Stored, o.View = true, everything(t)
		for i, err := range d.Follow(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, i)
		}
		return items
	}
	d.same("stored", stored(Options{All: true}), append(slices.Clone(old), coming...)...)
	d.same("stored of now", stored(Options{}))
}

func TestOptions(t *testing.T) {
	d := newDesk(t)
	other := newDesk(t, func(c *Config) { c.ID = "another" })
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	d.commit(e.Start())
	s := d.sit(Options{All: true})
	s.turn()
	token := s.tokens[0]
	first := func(d *desk, o Options) error {
		for _, err := range d.Follow(t.Context(), o) {
			return err
		}
		return nil
	}
	for name, c := range map[string]struct {
		d    *desk
		o    Options
		want error
	}{
		"two beginnings": {d, Options{After: token, All: true}, ErrOptions},
		"two more":       {d, Options{Last: 1, Since: time.Now()}, ErrOptions},
		"negative":       {d, Options{Last: -1}, ErrOptions},
		"another store":  {other, Options{After: token}, ErrToken},
		"garbage":        {d, Options{After: "garbage"}, ErrToken},
		"a later state":  {newDesk(t), Options{After: token}, ErrToken},
	} {
		if err := first(c.d, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	fails := filterOf(t, `1 / (sequence - 1) > 0`)
	var wrong *filter.Error
	if err := first(d, Options{All: true, View: everything(t), Filter: fails, Stored: true}); !errors.As(err, &wrong) {
		t.Errorf("a filter that fails: %v", err)
	}
	for name, cfg := range map[string]Config{
		"no ID":      {Store: d.store, Commits: d.cfg.Commits},
		"no store":   {ID: "x", Commits: d.cfg.Commits},
		"no commits": {ID: "x", Store: d.store},
		"negative":   {ID: "x", Store: d.store, Commits: d.cfg.Commits, Events: -1},
		"no knower":  {ID: "x", Store: struct{ store.Reader }{d.store}, Commits: d.cfg.Commits, JetStream: struct{ jetstream.JetStream }{}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A token tells nothing of tenants that its bearer may not see.
func TestTokenOfATenant(t *testing.T) {
	d := newDesk(t)
	mine, others := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "beta", "gateway-1")
	s := d.sit(Options{View: viewOf(t, "acme")})
	s.turn()
	shown := mine.Start()
	d.live(1, others.Start(), shown)
	d.same("live", s.turn(), shown)
	p, err := parseToken(d.mark, s.f.token())
	if _, ok := p.ahead[mine.UID]; err != nil || !ok || len(p.ahead) != 1 {
		t.Errorf("the token has %v, %v", p.ahead, err)
	}
}

// The slow one is told from where to where it missed how many, what it sees of
// them, and can have them after all.
func TestMissed(t *testing.T) {
	d := newDesk(t)
	e, foreign := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "beta", "gateway-1")
	o := Options{Events: 5, View: viewOf(t, "acme"), Filter: filterOf(t, `kind == "outcome"`)}
	s := d.sit(o)
	whole := o
	whole.Whole = true
	w := d.sit(whole)
	s.turn()
	w.turn()
	start := e.Start()
	d.live(1, start)
	s.turn()
	var all, mine []store.Entry
	for range 4 {
		op := e.Operation()
		all, mine = append(append(all, op...), foreign.API(profile.KindOutcome, "x", "")), append(mine, op[2])
	}
	d.live(2, all...)
	items := s.turn()
	if len(items) != 1 || items[0].Missed == nil {
		t.Fatalf("given %+v", items)
	}
	m := items[0].Missed
	if m.Events != 4 || m.First != mine[0].Header.Time || m.Last != mine[3].Header.Time || m.To != s.tokens[0] || m.Gaps != 0 {
		t.Errorf("missed %+v", m)
	}
	d.same("one that wants all", w.turn(), mine...)
	more := e.Operation()
	d.live(30, more...)
	d.same("then", s.turn(), more[2])
	d.commit(start)
	d.commit(all...)
	o.After = m.From
	back := d.sit(o)
	d.same("resumed", back.turn(), append(slices.Clone(mine), more[2])...)
	o.After = m.To
	back = d.sit(o)
	d.same("resumed behind it", back.turn(), more[2])
}

// What fell off the tape is counted by what the store has.
func TestMissedBeyondTheTape(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.Events = 8 })
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	s, w := d.sit(Options{}), d.sit(Options{Whole: true})
	s.turn()
	w.turn()
	var all []store.Entry
	for range 7 {
		op := e.Operation()
		d.commit(op...)
		all = append(all, op...)
	}
	items := s.turn()
	if len(items) != 1 || items[0].Missed == nil || items[0].Missed.Events != 21 {
		t.Fatalf("given %+v", items)
	}
	d.same("one that wants all", w.turn(), all...)
	back := d.sit(Options{After: items[0].Missed.From})
	d.same("resumed", back.turn(), all...)
}

func TestGaps(t *testing.T) {
	d := newDesk(t)
	e, foreign := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "beta", "gateway-1")
	s := d.sit(Options{View: viewOf(t, "acme"), Filter: filterOf(t, `kind == "nothing"`)})
	s.turn()
	finding := func(e *storetest.Epoch, kind string, data map[string]any) store.Entry {
		return e.Seal(&ocsf.DetectionFinding{
			ActivityID: ocsf.DetectionFindingCreate, StatusID: ocsf.DetectionFindingStatusNew,
			Base: ocsf.Base{
				Metadata: ocsf.Metadata{EventCode: profile.KindFinding},
				Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": kind, "count": 7}},
			},
			FindingInfo: &ocsf.FindingInfo{UID: storetest.NewUID(), Title: "x"}, Evidences: []ocsf.Evidences{{Data: data}},
		})
	}
	gaps := func() (list []Gap) {
		for _, i := range s.turn() {
			if i.Gap != nil {
				list = append(list, *i.Gap)
			}
		}
		return list
	}
	d.live(1, finding(e, "gap", nil), finding(foreign, "gap", nil))
	if g := gaps(); len(g) != 1 || g[0].Reason != GapRefused || g[0].Count != 7 || g[0].Epoch != e.UID || g[0].Emitter != "gateway-0" {
		t.Errorf("refused: %+v", g)
	}
	d.live(3, finding(e, "missing", map[string]any{"epoch": "0198", "emitter": "gone", "count": 3, "ranges": []map[string]any{{"first": 4, "last": 6}}}))
	if g := gaps(); len(g) != 1 || g[0].Reason != GapMissing || g[0].Count != 3 || g[0].Epoch != "0198" || g[0].Emitter != "gone" || len(g[0].Ranges) != 1 {
		t.Errorf("missing: %+v", g)
	}
	// A hole is told when it has been one for a while, once, and not if it was
	// filled.
	fresh := storetest.NewEpoch(t, "acme", "gateway-2")
	one, two, three, four := fresh.Start(), fresh.API(profile.KindOutcome, "a", ""), fresh.API(profile.KindOutcome, "b", ""), fresh.API(profile.KindOutcome, "c", "")
	d.commit(one, three)
	if g := gaps(); len(g) != 0 {
		t.Errorf("at once: %+v", g)
	}
	d.now = d.now.Add(time.Minute)
	d.commit()
	if g := gaps(); len(g) != 1 || g[0].Reason != GapHole || g[0].Count != 1 || !slices.Equal(g[0].Ranges, store.Intervals{{First: 2, Last: 2}}) {
		t.Errorf("hole: %+v", g)
	}
	d.now = d.now.Add(time.Minute)
	d.commit(four)
	if g := gaps(); len(g) != 0 {
		t.Errorf("again: %+v", g)
	}
	late := d.sit(Options{All: true})
	told := 0
	for _, i := range late.turn() {
		if i.Gap != nil && i.Gap.Reason == GapHole {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the backfill told %d holes", told)
	}
	d.commit(two)
	d.now = d.now.Add(time.Minute)
	d.commit()
	if g := gaps(); len(g) != 0 {
		t.Errorf("filled: %+v", g)
	}
}

// What was shown and is not stored, though what came behind it is, is withdrawn.
func TestWithdrawn(t *testing.T) {
	d := newDesk(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	s, foreign := d.sit(Options{}), d.sit(Options{View: viewOf(t, "beta")})
	one, two := e.Start(), e.Stop()
	d.live(1, one, two)
	d.same("live", s.turn(), one, two)
	two.StreamSeq = 2
	d.commit(two)
	items := s.turn()
	if len(items) != 1 || items[0].Gap == nil || items[0].Gap.Reason != GapWithdrawn || items[0].Gap.Ranges[0].First != 1 {
		t.Fatalf("given %+v", items)
	}
	for _, i := range foreign.turn() {
		if i.Gap != nil {
			t.Errorf("told of another tenant: %+v", i.Gap)
		}
	}
	if len(d.window)+len(d.order)+len(d.open)+d.runs+len(s.f.pos.ahead)+len(foreign.f.pos.ahead)+len(foreign.f.unseen) != 0 {
		t.Errorf("kept: %v, %v", d.open, s.f.pos)
	}
	d.commit(one) // put on the stream once more
	d.same("after all", s.turn(), one)
}

// Ten thousand epochs with an event each: what is kept is bounded, tokens are,
// and nothing is lost.
func TestManyEpochs(t *testing.T) {
	d := newDesk(t)
	const epochs = 10_000
	all := make([]store.Entry, 0, epochs)
	for range epochs {
		all = append(all, storetest.NewEpoch(t, "acme", "gateway-0").Start())
	}
	s := d.sit(Options{Whole: true})
	s.turn()
	d.live(1, all...)
	given := uids(s.turn())
	if len(given) != d.cfg.Epochs || len(d.open) != d.cfg.Epochs {
		t.Errorf("%d shown before they are stored, %d open", len(given), len(d.open))
	}
	token := s.f.token()
	if len(token) > MaxToken {
		t.Errorf("a token of %d bytes", len(token))
	}
	d.commit(all...)
	given = append(given, uids(s.turn())...)
	back := uids(d.sit(Options{After: token}).turn())
	slices.Sort(given)
	if n := len(slices.Compact(given)); n != epochs || len(back) != epochs-d.cfg.Epochs {
		t.Errorf("%d given, %d to the one that came back", n, len(back))
	}
	if len(d.open)+len(d.over) != 0 || len(d.known) > maxKnown {
		t.Errorf("kept: %d open, %d passed over", len(d.open), len(d.over))
	}
}

// Positions come without events, so that tokens do not grow old.
func TestPositions(t *testing.T) {
	d := newDesk(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	s, never := d.sit(Options{View: viewOf(t, "beta")}), d.sit(Options{View: viewOf(t, "beta"), Positions: -1})
	if items := s.turn(); len(items) != 1 || items[0].Position == nil || items[0].Position.Live || items[0].Position.Reason != ReasonNoStream {
		t.Errorf("at first: %+v", items)
	}
	never.turn()
	d.commit(e.Start())
	if items := s.turn(); len(items) != 0 {
		t.Errorf("at once: %+v", items)
	}
	d.now = d.now.Add(time.Minute)
	d.commit(e.Stop())
	if items := s.turn(); len(items) != 1 || items[0].Position == nil {
		t.Errorf("later: %+v", items)
	}
	if items := never.turn(); len(items) != 0 {
		t.Errorf("never: %+v", items)
	}
}

// They come when nothing at all happens, too, which keeps what is in between from
// taking the connection for dead.
func TestPositionsInSilence(t *testing.T) {
	d := newDesk(t)
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(run) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var items []Item
	for i, err := range d.Follow(t.Context(), Options{View: everything(t), Positions: time.Millisecond}) {
		if err != nil {
			t.Fatal(err)
		}
		if items = append(items, i); len(items) == 4 {
			break
		}
	}
	for _, i := range items {
		if i.Position == nil || i.Position.Reason != ReasonNoStream || i.Token() == "" {
			t.Errorf("an item of silence: %+v", i)
		}
	}
}

// A change that went by while the tape was out of reach is told all the same.
func TestStateBeyondTheTape(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.Events = 4 })
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	s, w := d.sit(Options{Positions: -1}), d.sit(Options{Positions: -1, Whole: true})
	s.turn()
	w.turn()
	d.setState(Position{Live: true})
	for range 5 {
		d.commit(e.Operation()...)
	}
	for _, items := range [][]Item{s.turn(), w.turn()} {
		n := 0
		for _, i := range items {
			if i.Position != nil && i.Position.Live {
				n++
			}
		}
		if n != 1 {
			t.Errorf("told %d times: %+v", n, items)
		}
	}
}

// Followers end with the hub and with their context, and say why.
func TestEnds(t *testing.T) {
	d := newDesk(t)
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ended := make(chan error, 2)
	expired := errors.New("the token has expired")
	ctx, expire := context.WithCancelCause(t.Context())
	positions := make(chan bool, 2)
	for _, ctx := range []context.Context{ctx, t.Context()} {
		go func() {
			for i, err := range d.Follow(ctx, Options{View: everything(t)}) {
				if err != nil {
					ended <- err
				} else if i.Position != nil {
					positions <- true
				}
			}
		}()
	}
	go func() { done <- d.Run(run) }()
	<-positions
	<-positions
	expire(expired)
	if err := <-ended; !errors.Is(err, expired) {
		t.Errorf("ended with %v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, ErrStopped) {
		t.Errorf("ended with %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
