// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A sequencer turns events into records: one goroutine, which alone knows where
// the epochs stand and alone writes to the WAL. Everything that waits when it
// comes round is one group: while it syncs, the next group gathers.
type sequencer struct {
	e     *Emitter
	keyID string

	// crashed are the epochs of earlier starts that nobody closed yet, by tenant.
	// They stay in every WAL header until the event that closes them is durable.
	crashed map[string][]epochState
	epochs  map[string]*epoch // by tenant

	// The group being built.
	records []record
	bytes   int64
	opened  []string // tenants whose crashed epochs it closes
	groups  []*group // of callers, whose last event is in it
	weight  int64    // of the callers' events in it, to be released
	dead    error    // the WAL was given up: nothing is written any more
}

// writeBytes bounds a group: more would make its first event wait.
const writeBytes = 4 << 20

func newSequencer(e *Emitter, crashed []epochState) *sequencer {
	s := &sequencer{e: e, crashed: map[string][]epochState{}, epochs: map[string]*epoch{}}
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
	s.flush()
	tick := time.NewTicker(s.e.cfg.HeadInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.e.queue.wake:
		case <-s.e.noticed:
		case <-tick.C:
			s.heads(1)
		}
		groups, gaps, closed := s.e.queue.take()
		for _, g := range groups {
			s.sequence(g)
		}
		s.notices()
		s.custody()
		s.gaps(gaps)
		s.heads(s.e.cfg.HeadEvery)
		if closed {
			s.stop()
			s.flush()
			return
		}
		s.flush()
	}
}

// sequence takes a group of callers' events.
func (s *sequencer) sequence(g *group) {
	g.places = make([]place, len(g.events))
	for i, e := range g.events {
		g.events[i] = nil // its memory is free once it is encoded
		s.weight += g.weights[i]
		if s.dead != nil {
			g.err = s.dead
			continue
		}
		p, err := s.put(e, 0)
		if err != nil {
			if g.unfit == nil {
				g.unfit = map[int]error{}
			}
			g.unfit[i] = err
			s.e.queue.refuseUnfit(e.Common().Metadata.TenantUID)
			continue
		}
		g.places[i] = place{p.state.Epoch, p.state.Sequence}
		s.e.count.sequenced.Add(1)
		if s.bytes >= writeBytes && i < len(g.events)-1 {
			s.flush()
		}
	}
	s.groups = append(s.groups, g)
	if s.bytes >= writeBytes {
		s.flush()
	}
}

// put makes e the next event of its tenant's epoch.
func (s *sequencer) put(e ocsf.Event, flags byte) (*epoch, error) {
	s.complete(e)
	p, err := s.epoch(e.Common().Metadata.TenantUID)
	if err == nil {
		err = s.seal(p, e, flags)
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

func (s *sequencer) seal(p *epoch, e ocsf.Event, flags byte) error {
	r, err := p.seal(e, &s.e.cfg)
	if err != nil {
		return err
	}
	r.flags = flags
	s.records = append(s.records, r)
	s.bytes += r.size()
	return nil
}

// own puts an event of the emitter itself and reports whether it did: such an
// event is fit unless the tenant's name is not.
func (s *sequencer) own(e ocsf.Event, flags byte) bool {
	if s.dead != nil {
		return false
	}
	if _, err := s.put(e, flags); err != nil {
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
	p := &epoch{state: epochState{Epoch: s.e.cfg.NewUID(), Tenant: tenant}}
	start := s.startEvent(tenant, s.crashed[tenant])
	s.complete(start)
	if err := s.seal(p, start, flagOpens); err != nil {
		return nil, fmt.Errorf("open epoch: %w", err)
	}
	s.e.count.own.Add(1)
	s.epochs[tenant] = p
	s.opened = append(s.opened, tenant)
	return p, nil
}

// states is what the header of a new WAL file says of the open epochs.
func (s *sequencer) states() []epochState {
	var list []epochState
	for _, crashed := range s.crashed {
		list = append(list, crashed...)
	}
	for _, p := range s.epochs {
		if p.durable.Sequence > 0 {
			list = append(list, p.durable)
		}
	}
	slices.SortFunc(list, func(a, b epochState) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return list
}

// flush makes the group durable and tells those who wait for it.
func (s *sequencer) flush() {
	if len(s.records) > 0 && s.dead == nil {
		s.room()
		if len(s.records) > 0 { // making room may have written them
			s.write()
		}
	}
	s.e.queue.release(s.weight) // first: who is told may offer more
	for _, g := range s.groups {
		if g.err == nil {
			g.err = s.dead
		}
		g.end = s.e.spooled.position()
		close(g.settled)
	}
	clear(s.groups)
	s.groups, s.weight = s.groups[:0], 0
}

// write appends the group until it is on stable storage, or the emitter's time
// is up.
func (s *sequencer) write() {
	s.e.cfg.reached("before-append")
	wait := backoff{first: 20 * time.Millisecond, most: 2 * time.Second}
	for {
		end, err := s.e.wal.append(s.records, s.states)
		if err == nil {
			s.e.trouble(troubleWAL, nil)
			s.written(end)
			return
		}
		// The records wait here, their receipts stay open, and callers decide by
		// their contexts how long that is bearable.
		s.e.trouble(troubleWAL, err)
		s.e.queue.blame(reasonWALError)
		select {
		case <-time.After(wait.next()):
		case <-s.e.giveUp:
			s.dead = fmt.Errorf("%w: %w", ErrClosed, err)
			return
		}
	}
}

func (s *sequencer) written(end position) {
	s.e.queue.blame(reasonQueueFull)
	for i := range s.records {
		s.e.count.spooledBytes.Add(int64(len(s.records[i].raw)))
	}
	s.e.count.spooled.Add(int64(len(s.records)))
	for _, p := range s.epochs {
		p.durable = p.state
		s.e.epochs.set(p.state.Epoch, p.state.Sequence)
	}
	for _, tenant := range s.opened {
		delete(s.crashed, tenant)
	}
	clear(s.records)
	s.records, s.opened, s.bytes = s.records[:0], s.opened[:0], 0
	s.e.cfg.reached("after-sync")
	s.e.spooled.advance(end)
}

// notices states what the other goroutines found out.
func (s *sequencer) notices() {
	for _, n := range s.e.takeNotices() {
		s.own(s.damageEvent(n), 0)
	}
}

// room waits until the WAL may grow by the group. A closing emitter writes what
// it has taken.
func (s *sequencer) room() {
	for {
		changed := s.e.trimmed.changed()
		bytes, files := s.e.wal.size()
		if bytes+s.bytes <= s.e.cfg.WALMaxBytes || files == 1 || s.e.closing() {
			s.e.trouble(troubleFull, nil)
			return
		}
		s.e.queue.blame(reasonWALFull)
		s.e.trouble(troubleFull, fmt.Errorf("the WAL has %d bytes in %d files, and the limit is %d", bytes, files, s.e.cfg.WALMaxBytes))
		if s.giveUpFiles() {
			continue
		}
		select {
		case <-changed:
		case <-s.e.streamed.changed.changed():
		case <-s.e.stopping:
		case <-time.After(time.Second):
		}
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

// heads states the signed head of each epoch that has grown by least events.
func (s *sequencer) heads(least int64) {
	if s.e.cfg.Key == nil || s.dead != nil {
		return
	}
	for _, tenant := range slices.Sorted(maps.Keys(s.epochs)) {
		p := s.epochs[tenant]
		if p.state.Sequence-p.headed < least {
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
