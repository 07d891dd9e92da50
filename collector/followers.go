// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// followers are the followers of all epochs that are not judged. They are made
// of what is stored, so that a crash costs nothing but the time to read again
// what came since the last snapshot. Owned by Run.
type followers struct {
	c      *Collector
	epochs map[string]*follower
	// judged are the epochs that are over and whose findings are stored: they
	// need no more looking at.
	judged map[string]bool
	// findings are those told since the start, or found in the store: true
	// once stored. They keep a finding from being told twice.
	findings map[string]bool

	found []finding // about missing events, not yet told
	// dangling are the findings about dangling intents that were read in the
	// store and not taken back there, for the epochs that are being read again.
	dangling map[string]toldDangling

	// left are the sequences whose events left the store before a follower read
	// them there, by epoch: they are gone over.
	left map[string]store.Intervals

	commit uint64    // number of the last commit that was followed
	saved  time.Time // when the last snapshot was made
}

func newFollowers(c *Collector) *followers {
	return &followers{
		c: c, epochs: make(map[string]*follower), judged: make(map[string]bool), findings: make(map[string]bool),
		left:  make(map[string]store.Intervals),
		saved: c.cfg.Now(),
	}
}

// restore takes up the last snapshot and reads what came since; epochs that are
// not in it are read from their beginning.
func (s *followers) restore(ctx context.Context) error {
	s.load()
	for uid, f := range s.epochs {
		if err := s.lookLeft(ctx, uid, f); err != nil {
			return err
		}
	}
	if err := s.readSince(ctx); err != nil {
		return err
	}
	since := int64(math.MaxInt64)
	var anew []*follower
	for _, uid := range s.c.cfg.Store.Epochs() {
		if s.judged[uid] {
			continue
		}
		f := s.epochs[uid]
		if f == nil || f.again {
			var err error
			if f, err = s.read(ctx, uid); err != nil {
				return err
			}
			s.epochs[uid] = f
			anew = append(anew, f)
			if f.first > 0 {
				since = min(since, f.first)
			}
		}
	}
	s.refresh()
	if since == math.MaxInt64 {
		return nil
	}
	if err := s.readFindings(ctx, since); err != nil {
		return err
	}
	for _, f := range anew {
		s.reconcile(f)
	}
	s.dangling = nil
	return nil
}

// readSince feeds the followers of the snapshot what was stored after it.
func (s *followers) readSince(ctx context.Context) error {
	if s.commit == 0 {
		return nil
	}
	after := store.Cursor{Commit: s.commit, Pos: math.MaxUint32}
	for e, err := range s.c.cfg.Store.Scan(ctx, store.Query{After: after}) {
		if err != nil {
			return fmt.Errorf("read events since commit %d: %w", s.commit, err)
		}
		s.stored(&e)
		s.commit = e.Commit
		if f := s.epochs[e.Header.Epoch]; f != nil {
			f.add(e.Header)
		}
		delete(s.judged, e.Header.Epoch)
	}
	return nil
}

// refresh looks up what the store knows of epochs beside their events.
func (s *followers) refresh() {
	for uid := range s.epochs {
		s.look(uid)
	}
}

// look looks up where an epoch ended, and what was quarantined or is missing of
// it.
func (s *followers) look(uid string) {
	f, state := s.epochs[uid], s.c.cfg.Store.Epoch(uid)
	if state == nil {
		return
	}
	s.c.holes.touch(uid, state)
	s.found = append(s.found, s.c.holes.arrived(uid, state)...)
	if f == nil {
		return
	}
	f.missing = s.missing(uid, state)
	if state.Closed != nil {
		f.last = state.Closed.LastSequence
	}
	f.pass(state.Quarantined)
}

// leaver is a store that events leave.
type leaver interface {
	Left(ctx context.Context, epoch string) (store.Intervals, error)
}

// lookLeft looks up which events of an epoch left the store, so that f does not
// wait for them.
func (s *followers) lookLeft(ctx context.Context, uid string, f *follower) error {
	from, ok := s.c.cfg.Store.(leaver)
	if !ok {
		return nil
	}
	left, err := from.Left(ctx, uid)
	if err != nil {
		return fmt.Errorf("read what left of epoch %s: %w", uid, err)
	}
	if len(left) > 0 {
		s.left[uid] = left
		f.missing = store.Union(f.missing, left)
		f.highest = max(f.highest, left[len(left)-1].Last)
	}
	return nil
}

// missing returns the holes of an epoch that were found to be missing: they are
// gone over, as nobody waits for them any more.
func (s *followers) missing(uid string, state *store.Epoch) store.Intervals {
	missing, _ := s.c.holes.known(uid)
	if len(missing) > 0 {
		missing = missing.Without(state.Accounted())
	}
	if left := s.left[uid]; len(left) > 0 {
		return store.Union(missing, left)
	}
	return missing
}

// clockSkew is how far the clock of an emitter may be ahead of that of the
// collector that made a finding about its events.
const clockSkew = int64(time.Hour / time.Millisecond)

// readFindings notes the findings that are stored, from since (ms) on.
func (s *followers) readFindings(ctx context.Context, since int64) error {
	since = max(since-clockSkew, 0)
	s.dangling = make(map[string]toldDangling)
	for e, err := range s.c.cfg.Store.Scan(ctx, store.Query{Kinds: []string{profile.KindFinding}, Since: since}) {
		if err != nil {
			return fmt.Errorf("read stored findings: %w", err)
		}
		s.stored(&e)
		if t, ok := readDangling(e.Raw); ok && e.Header.Emitter == s.c.cfg.Emitter {
			if t.closed {
				delete(s.dangling, t.uid)
			} else {
				s.dangling[t.uid] = t
			}
		}
	}
	return nil
}

// reconcile compares a follower that was read from the store with the findings
// that were read there: an operation that was said to dangle and does not is
// complete after all.
func (s *followers) reconcile(f *follower) {
	for _, uid := range slices.Sorted(maps.Keys(s.dangling)) {
		t := s.dangling[uid]
		if t.epoch != f.epoch || f.next <= t.firstSeq {
			continue
		}
		if op := f.open[t.operation]; op != nil {
			op.finding = uid
			continue
		}
		op := &operation{uid: t.operation, firstSeq: t.firstSeq, finding: uid}
		f.found = append(f.found, noLongerDangling(f, op))
	}
}

// stored notes a finding that came back. Whoever sends events can send one that
// looks like a finding about himself, to keep the collector from telling it: only
// what came by the emitter that the findings go to is believed, whose name nobody
// else may publish under.
func (s *followers) stored(e *store.Entry) {
	if e.Header.Kind != profile.KindFinding || e.Header.Emitter != s.c.cfg.Emitter {
		return
	}
	if uid, ours := findingUID(e.Raw); ours {
		s.findings[uid] = true
		return
	}
	s.storedLoss(e)
}

// storedLoss notes a finding of the collector's own about missing events.
func (s *followers) storedLoss(e *store.Entry) {
	if e.Header.Emitter != s.c.cfg.Emitter {
		return
	}
	if t, ok := readLoss(e.Raw); ok {
		s.c.holes.stored(&t)
	}
}

// read makes the follower of an epoch from what is stored of it.
func (s *followers) read(ctx context.Context, uid string) (*follower, error) {
	f := newFollower(uid, owner{})
	state := s.c.cfg.Store.Epoch(uid)
	if state == nil {
		return f, nil
	}
	f.owner = owner{state.Tenant, state.Emitter}
	f.missing = s.missing(uid, state)
	if err := s.lookLeft(ctx, uid, f); err != nil {
		return nil, err
	}
	if state.Closed != nil {
		f.last = state.Closed.LastSequence
	}
	for e, err := range s.c.cfg.Store.Scan(ctx, store.Query{Epoch: uid, WithoutRaw: true}) {
		if err != nil {
			return nil, fmt.Errorf("read epoch %s: %w", uid, err)
		}
		// A commit whose flush was cut off is known from here only.
		s.commit = max(s.commit, e.Commit)
		f.add(e.Header)
	}
	f.pass(state.Quarantined)
	return f, nil
}

// doubt has epochs read again before they are followed further.
func (s *followers) doubt(epochs map[string]bool) {
	for uid := range epochs {
		s.get(uid).again = true
	}
}

func (s *followers) get(uid string) *follower {
	f := s.epochs[uid]
	if f == nil {
		var whose owner
		if o, known := s.c.judge.Owner(uid); known {
			whose = owner{o.Tenant, o.Emitter}
		}
		f = newFollower(uid, whose)
		f.again = s.judged[uid] // what is new is not all there is
		delete(s.judged, uid)
		s.epochs[uid] = f
	}
	return f
}

// follow takes in a commit that touched epochs, and tells what it shows.
func (c *Collector) follow(ctx context.Context, done store.Committed, touched map[string]bool) error {
	s := c.epochs
	s.take(done, touched)
	if err := c.lose(ctx); err != nil {
		return err
	}
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	s.commit = max(s.commit, done.Number)
	c.holes.followed(done.Number)
	c.holes.tell(ctx, s.found)
	s.found = nil
	// While there is more on the stream, an answer may be in it.
	if c.caughtUp() {
		s.judge(ctx)
	}
	open := make(map[string]int)
	for uid, f := range s.epochs {
		if len(f.open) > 0 {
			open[uid] = len(f.open)
		}
	}
	c.set(func(l *live) { l.open = open })
	return nil
}

// lose goes over what is missing, as far as that is stored by now.
func (c *Collector) lose(ctx context.Context) error {
	changed := c.holes.takeChanged()
	if len(changed) == 0 {
		return nil
	}
	for uid := range changed {
		c.epochs.look(uid)
	}
	if c.kv == nil {
		return nil // watermarks are put by the session that is to come
	}
	if err := c.putMarks(ctx, changed); err != nil {
		c.holes.change(changed)
		return err
	}
	return nil
}

func (s *followers) take(done store.Committed, touched map[string]bool) {
	for i := range done.Added {
		e := &done.Added[i]
		s.stored(e)
		s.get(e.Header.Epoch).add(e.Header)
		closes, err := store.Closing(e.Header, e.Raw)
		if err != nil {
			s.c.log.Warn("a start event says in vain what it closes", "event", e.Header.MetadataUID, "error", err)
			continue
		}
		for _, closed := range closes {
			// What the store has taken it for is what counts.
			if state := s.c.cfg.Store.Epoch(closed.Epoch); state != nil && state.Closed != nil && !s.judged[closed.Epoch] {
				s.get(closed.Epoch)
				s.look(closed.Epoch)
			}
		}
	}
	for uid := range touched {
		s.look(uid)
	}
}

// catchUp reads the epochs again that were lost and that now go on.
func (s *followers) catchUp(ctx context.Context) error {
	for uid, f := range s.epochs {
		state := s.c.cfg.Store.Epoch(uid)
		if !f.lost && !f.again || state == nil {
			continue
		}
		if !f.again && state.Watermark() < f.next {
			continue
		}
		again, err := s.read(ctx, uid)
		if err != nil {
			return err
		}
		if f.next == 1 && again.first > 0 {
			// It was judged before: its findings are no longer at hand.
			if err := s.readFindings(ctx, again.first); err != nil {
				return err
			}
			s.reconcile(again)
			s.dangling = nil
		}
		for op, was := range f.open {
			if now := again.open[op]; now != nil {
				now.finding = was.finding
			} else if was.finding != "" {
				again.found = append(again.found, noLongerDangling(again, was, was.begun[0]))
			}
		}
		again.told = f.told
		s.epochs[uid] = again
	}
	return nil
}

// judge tells what was found, and is done with the epochs that are over.
func (s *followers) judge(ctx context.Context) {
	now := s.c.cfg.Now().UnixMilli()
	for _, uid := range slices.Sorted(maps.Keys(s.epochs)) {
		f := s.epochs[uid]
		f.judge(s.c.cfg.Horizon.Milliseconds())
		for i := range f.found {
			s.tell(ctx, f, &f.found[i], now)
		}
		f.found = nil
		if f.complete() && !slices.ContainsFunc(f.told, func(finding string) bool { return !s.findings[finding] }) {
			for _, finding := range f.told {
				delete(s.findings, finding)
			}
			delete(s.epochs, uid)
			s.judged[uid] = true
		}
	}
	if now := s.c.cfg.Now(); now.Sub(s.saved) >= snapshotEvery {
		s.saved = now
		s.save()
	}
}

// tell hands a finding on unless it is known.
func (s *followers) tell(ctx context.Context, f *follower, found *finding, now int64) {
	_, known := s.findings[found.uid]
	if !known {
		s.findings[found.uid] = s.c.cfg.Findings == nil
	}
	if !slices.Contains(f.told, found.uid) {
		f.told = append(f.told, found.uid)
	}
	if known && !found.closed {
		return
	}
	s.c.log.Warn("finding", "type", found.kind, "uid", found.uid, "message", found.message, "closed", found.closed)
	s.c.metrics.found(found.kind)
	if s.c.cfg.Findings != nil {
		s.c.cfg.Findings(ctx, found.event(s.c.cfg.NewUID(), now))
	}
}
