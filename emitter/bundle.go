// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A bundle is records that are written and synced together, and what becomes true
// when they are on stable storage. It is one group in a WAL file.
type bundle struct {
	records []record
	bytes   int64        // that they take in a file
	touched []*epoch     // that it has events of
	ended   []*epoch     // that it has the stop events of
	closed  []epochState // those that a crash left open and that it closes
	groups  []*group     // of callers, whose last event is in it
	charges []charge     // of the callers' events in it, to be released

	chunk []byte   // where the bytes of the last events are, and those of the next ones may be
	full  [][]byte // chunks that have those of the events before
	spare [][]byte // chunks that are full next
}

const (
	bundleBytes = 4 << 20 // of a bundle: more would make its first event wait
	chunkBytes  = 256 << 10
)

// room returns where the bytes of an event may go, as an empty slice.
func (b *bundle) room() []byte {
	if cap(b.chunk)-len(b.chunk) >= chunkBytes/32 {
		return b.chunk[len(b.chunk):]
	}
	if b.chunk != nil {
		b.full = append(b.full, b.chunk)
	}
	if n := len(b.spare); n > 0 {
		b.chunk, b.spare = b.spare[n-1][:0], b.spare[:n-1]
	} else {
		b.chunk = make([]byte, 0, chunkBytes)
	}
	return b.chunk
}

// add takes a record whose event is in the room, or did not fit there.
func (b *bundle) add(r record) {
	b.records = append(b.records, r)
	b.bytes += r.size()
	if room := b.room(); len(r.raw) <= cap(room) {
		b.chunk = b.chunk[:len(b.chunk)+len(r.raw)]
	}
}

// empty forgets the records, which are on stable storage or never will be. Of the
// memory it keeps what these took, for the next ones, and gives away a chunk each time
// of what they did not need: bundles are long and short by turns.
func (b *bundle) empty() {
	clear(b.records)
	clear(b.touched)
	clear(b.ended)
	b.records, b.touched, b.ended, b.closed = b.records[:0], b.touched[:0], b.ended[:0], b.closed[:0]
	b.bytes, b.chunk = 0, b.chunk[:0]
	if n := len(b.spare); n > 0 {
		b.spare[n-1] = nil
		b.spare = b.spare[:n-1]
	}
	b.spare = append(b.spare, b.full...)
	clear(b.full)
	b.full = b.full[:0]
}

// begin writes the bundle that was built, and has it synced while the next one is
// built. While one is synced already, it waits for that: whatever comes meanwhile
// goes with it.
func (s *sequencer) begin() {
	if s.under != nil {
		return
	}
	if len(s.next.records) > 0 && s.dead == nil {
		s.makeRoom()
	}
	b := s.next
	if s.dead != nil {
		b.empty()
	}
	if len(b.records) == 0 { // making room may have written them
		s.settle(b)
		return
	}
	s.e.cfg.reached("before-append")
	s.hand(b)
	f, err := s.e.wal.write(b.records, s.states)
	if err != nil {
		s.again(b, err)
		s.settle(b)
		return
	}
	s.under, s.next, s.spare = b, s.spare, nil
	go func() { s.done <- s.e.wal.sync(f) }()
}

// hand notes where the epochs stand with b.
func (s *sequencer) hand(b *bundle) {
	s.bundles++
	for _, p := range b.touched {
		p.written, p.touched = p.state, false
	}
}

// synced is told how the sync of the bundle that is under way ended.
func (s *sequencer) synced(err error) {
	b := s.under
	if err != nil {
		s.e.wal.giveUp()
		s.again(b, err)
	} else {
		s.wrote(b, s.e.wal.wrote(b.records))
	}
	s.under, s.spare = nil, b
	s.settle(b)
}

// await waits until nothing is being synced.
func (s *sequencer) await() {
	if s.under != nil {
		s.synced(<-s.done)
	}
}

// makeWay writes the bundle that was built, which is large, after the one that is
// being synced.
func (s *sequencer) makeWay() {
	s.await()
	s.begin()
}

// flush makes everything durable.
func (s *sequencer) flush() {
	s.makeWay()
	s.await()
}

// append makes b durable, and waits for it.
func (s *sequencer) append(b *bundle) {
	s.e.cfg.reached("before-append")
	s.hand(b)
	if end, err := s.e.wal.append(b.records, s.states); err != nil {
		s.again(b, err)
	} else {
		s.wrote(b, end)
	}
}

// again appends b until it is on stable storage, or the emitter's time is up. The
// records wait here, their receipts stay open, and callers decide by their contexts
// how long that is bearable.
func (s *sequencer) again(b *bundle, err error) {
	wait := backoff{first: 20 * time.Millisecond, most: 2 * time.Second}
	for err != nil {
		s.e.trouble(troubleWAL, withoutPath(err))
		reason := reasonWALError
		if diskFull(err) {
			reason = reasonDiskFull
		}
		s.e.queue.blame(reason)
		if !s.spend(err) {
			select {
			case <-time.After(wait.next()):
			case <-s.e.giveUp:
				s.dead = fmt.Errorf("%w: %w", ErrClosed, err)
				b.empty()
				return
			}
		}
		var end position
		if end, err = s.e.wal.append(b.records, s.states); err == nil {
			s.wrote(b, end)
		}
	}
}

// withoutPath leaves out of an error the file's name, which is another one at each
// try: what goes on is told once.
func withoutPath(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("write WAL: %s: %w", path.Op, path.Err)
	}
	return err
}

// wrote is told that b is on stable storage, up to end.
func (s *sequencer) wrote(b *bundle, end position) {
	s.e.trouble(troubleWAL, nil)
	s.e.queue.blame(reasonQueueFull)
	bytes := int64(0)
	for i := range b.records {
		bytes += int64(len(b.records[i].raw))
	}
	s.e.count.spooledBytes.Add(bytes)
	s.e.count.spooled.Add(int64(len(b.records)))
	for _, p := range b.touched {
		p.durable = p.written
		s.e.epochs.set(p.durable.Epoch, p.durable.Sequence)
	}
	b.empty()
	s.e.cfg.reached("after-sync")
	s.e.durations.wrote(end, s.e.wal.synced)
	s.e.spooled.advance(end)
	s.restore()
}

// settle tells those who wait for b what became of it.
func (s *sequencer) settle(b *bundle) {
	s.e.queue.settle(b.charges, len(b.groups))
	for _, g := range b.groups {
		if g.err == nil {
			g.err = s.dead
		}
		g.end = s.e.spooled.position()
		if g.err == nil {
			s.e.durations.spooled(g.since)
		}
		close(g.settled)
	}
	clear(b.groups)
	clear(b.charges)
	b.groups, b.charges = b.groups[:0], b.charges[:0]
}

// states is what the header of a new WAL file says of the open epochs, when the
// bundle that was handed over is the first in it.
func (s *sequencer) states() []epochState {
	var list []epochState
	for _, crashed := range s.crashed {
		list = append(list, crashed...)
	}
	open := func(p *epoch) {
		if p.durable.Sequence > 0 {
			list = append(list, p.durable)
		}
	}
	for _, p := range s.epochs {
		open(p)
	}
	for _, b := range []*bundle{s.under, s.next} {
		if b == nil {
			continue
		}
		list = append(list, b.closed...)
		for _, p := range b.ended {
			open(p)
		}
	}
	slices.SortFunc(list, func(a, b epochState) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return list
}

// makeRoom waits until the WAL may grow by the bundle that was built. A closing
// emitter writes what it has taken.
func (s *sequencer) makeRoom() {
	for {
		changed := s.e.trimmed.changed()
		bytes, files := s.e.wal.size()
		if bytes+s.next.bytes <= s.e.cfg.WALMaxBytes || files == 1 || s.e.closing() {
			s.e.trouble(troubleFull, nil)
			return
		}
		s.e.queue.blame(reasonWALFull)
		s.e.trouble(troubleFull, fmt.Errorf("the WAL has %d bytes in %d files, and the limit is %d", bytes, files, s.e.cfg.WALMaxBytes))
		if s.giveUpFiles(0) {
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
