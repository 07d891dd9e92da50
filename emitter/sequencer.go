// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A sequencer turns events into records: one goroutine, which alone knows where
// the epochs stand and alone writes to the WAL. What waits when it comes round goes
// into one bundle: while that is synced, the next one is sealed.
type sequencer struct {
	e     *Emitter
	keyID string

	// crashed are the epochs of earlier starts that nobody closes yet, by tenant.
	// They stay in every WAL header until the event that closes them is durable.
	crashed map[string][]epochState
	epochs  map[string]*epoch // by tenant
	most    int               // of epochs
	sealer  *profile.Sealer   // of all of them
	bundles int64             // written so far

	next  *bundle    // that is being built
	under *bundle    // that is being synced, nil when none is; the next one after it
	spare *bundle    // neither
	done  chan error // how the sync of under ended
	dead  error      // the WAL was given up: nothing is written any more

	refill *time.Ticker // while the reserve waits to be made
}

func newSequencer(e *Emitter, crashed []epochState) *sequencer {
	s := &sequencer{
		e: e, crashed: map[string][]epochState{}, epochs: map[string]*epoch{}, most: maxEpochs, sealer: new(profile.Sealer),
		next: new(bundle), spare: new(bundle), done: make(chan error, 1),
	}
	if e.cfg.Key != nil {
		s.keyID = KeyID(publicKey(e.cfg.Key))
	}
	for _, c := range crashed {
		s.crashed[c.Tenant] = append(s.crashed[c.Tenant], c)
	}
	return s
}

// run sequences until the queue is closed and empty.
func (s *sequencer) run() {
	// An epoch that a crash left open is closed now, whether or not its tenant
	// comes back.
	for _, tenant := range slices.Sorted(maps.Keys(s.crashed)) {
		if _, err := s.epoch(tenant); err != nil {
			s.e.cfg.Logger.Error("an epoch that crashed cannot be closed", "error", err) // stays in the headers
		}
	}
	s.notices()
	s.begin()
	tick := time.NewTicker(s.e.cfg.HeadInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.e.queue.wake:
		case <-s.e.noticed:
		case err := <-s.done:
			s.synced(err)
		case <-tick.C:
			s.heads(slices.Collect(maps.Values(s.epochs)), 1)
		case <-s.refilling():
			s.restore()
		}
		groups, gaps, closed := s.e.queue.take()
		for _, g := range groups {
			s.sequence(g)
		}
		s.notices()
		s.custody()
		s.gaps(gaps)
		s.heads(slices.Clone(s.next.touched), s.e.cfg.HeadEvery)
		if closed {
			s.stop()
			s.flush()
			return
		}
		s.begin()
	}
}

// sequence takes a group of callers' events.
func (s *sequencer) sequence(g *group) {
	g.places = make([]place, len(g.events))
	for i, e := range g.events {
		g.events[i] = nil // its memory is free once it is encoded
		s.next.charges = append(s.next.charges, g.charges[i])
		if s.dead != nil {
			g.err = s.dead
			continue
		}
		p, err := s.put(e, 0, s.e.cfg.Canaries)
		if err != nil {
			if g.unfit == nil {
				g.unfit = map[int]error{}
			}
			g.unfit[i] = err
			s.refuse(e, err)
			continue
		}
		giveBack(e)
		g.places[i] = place{p.state.Epoch, p.state.Sequence}
		s.e.count.sequenced.Add(1)
		if s.next.bytes >= bundleBytes && i < len(g.events)-1 {
			s.makeWay()
		}
	}
	s.next.groups = append(s.next.groups, g)
	if s.next.bytes >= bundleBytes {
		s.makeWay()
	}
}

// refuse states that an event which was taken is none.
func (s *sequencer) refuse(e ocsf.Event, err error) {
	reason := reasonUnfit
	var canary *canaryError
	if errors.As(err, &canary) {
		if s.replace(e, canary) {
			s.e.queue.refuseStated()
			s.e.count.declared.Add(1)
			return
		}
		reason = reasonCanary
	}
	s.e.queue.refuseTaken(e.Common().Metadata.TenantUID, reason)
}

// put makes e the next event of its tenant's epoch, unless one of canaries is in
// it.
func (s *sequencer) put(e ocsf.Event, flags byte, canaries []Canary) (*epoch, error) {
	s.complete(e)
	p, err := s.epoch(e.Common().Metadata.TenantUID)
	if err == nil {
		err = s.seal(p, e, flags, canaries)
	}
	return p, err
}

// complete fills in what e leaves open.
func (s *sequencer) complete(e ocsf.Event) {
	meta := &e.Common().Metadata
	if meta.TenantUID == "" {
		meta.TenantUID = profile.TenantDefault
	}
	if meta.UID == "" {
		meta.UID = s.e.cfg.NewUID()
	}
	if meta.Product == nil {
		meta.Product = s.e.cfg.Product
	}
	if meta.Version == "" {
		meta.Version = s.e.cfg.Version
	}
	if l, ok := e.(*ocsf.ApplicationLifecycle); ok && l.App == nil && l.Application == nil {
		// OCSF 1.8 requires app; 1.9 deprecates it in favour of application.
		if p := meta.Product; meta.Version == ocsf.DefaultVersion {
			l.App = p
		} else {
			l.Application = &ocsf.Application{Name: p.Name, UID: p.UID, Version: p.Version}
		}
	}
}

func (s *sequencer) seal(p *epoch, e ocsf.Event, flags byte, canaries []Canary) error {
	within := bounds{canaries, s.e.longest()}
	room := s.next.room()
	r, err := p.sealSafely(within, room, e, &s.e.cfg)
	var long *tooLongError
	if errors.As(err, &long) && shrink(e, long.why()) {
		s.e.count.shrunk.Add(1)
		r, err = p.sealSafely(within, room, e, &s.e.cfg)
	}
	if err != nil {
		return err
	}
	r.flags = flags
	if p.used = s.bundles; !p.touched {
		p.touched = true
		s.next.touched = append(s.next.touched, p)
	}
	s.next.add(r)
	return nil
}

// own puts an event of the emitter itself and reports whether it did: such an
// event is fit unless the tenant's name is not.
func (s *sequencer) own(e ocsf.Event, flags byte) bool {
	if s.dead != nil {
		return false
	}
	if _, err := s.put(e, flags, nil); err != nil {
		s.e.cfg.Logger.Error("an event of the emitter itself is unfit", "error", err)
		return false
	}
	s.e.count.own.Add(1)
	return true
}

// epoch returns the tenant's epoch, opening it with a start event. It fails on a
// tenant's name that no event can carry.
func (s *sequencer) epoch(tenant string) (*epoch, error) {
	if p := s.epochs[tenant]; p != nil {
		return p, nil
	}
	if len(s.e.cfg.Canaries) > 0 { // or the start event would be the first to tell
		if name, err := ocsf.EncodeValue(tenant); err != nil {
			return nil, fmt.Errorf("open epoch: %w: %w", ErrUnfit, err)
		} else if canary := sighted(s.e.cfg.Canaries, name); canary != nil {
			return nil, canary
		}
	}
	p := &epoch{sealer: s.sealer, state: epochState{Epoch: s.e.cfg.NewUID(), Tenant: tenant}}
	start := s.startEvent(tenant, s.crashed[tenant])
	s.complete(start)
	if err := s.seal(p, start, flagOpens, nil); err != nil {
		return nil, fmt.Errorf("open epoch: %w", err)
	}
	s.e.count.own.Add(1)
	s.retire()
	s.epochs[tenant] = p
	s.next.closed = append(s.next.closed, s.crashed[tenant]...)
	delete(s.crashed, tenant)
	return p, nil
}

// notices states what the other goroutines found out.
func (s *sequencer) notices() {
	for _, n := range s.e.takeNotices() {
		s.own(s.damageEvent(n), 0)
	}
}

// gaps states refused events.
func (s *sequencer) gaps(g gaps) {
	for _, key := range g.sorted() {
		// A tenant whose name no event can carry has its gaps stated where what
		// belongs to no tenant goes.
		nobody := gapKey{profile.TenantDocket, key.reason}
		if s.own(s.gapFinding(key, g[key]), 0) || s.own(s.gapFinding(nobody, g[key]), 0) {
			s.e.count.declared.Add(g[key].count)
		}
	}
}

// heads states the signed head of each of epochs that has grown by least events.
func (s *sequencer) heads(epochs []*epoch, least int64) {
	if s.e.cfg.Key == nil || s.dead != nil {
		return
	}
	slices.SortFunc(epochs, byTenant)
	for _, p := range epochs {
		if p.state.Sequence-p.headed < least || s.epochs[p.state.Tenant] != p {
			continue
		}
		if s.own(s.headEvent(p), 0) {
			p.headed = p.state.Sequence
		}
	}
}

// stop states what is left to state and ends every epoch.
func (s *sequencer) stop() {
	_, last, _ := s.e.queue.take() // unfit events of the last group
	s.gaps(last)
	for _, tenant := range slices.Sorted(maps.Keys(s.epochs)) {
		s.own(s.stopEvent(s.epochs[tenant]), flagCloses)
	}
}
