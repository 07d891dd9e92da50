// SPDX-License-Identifier: Apache-2.0

package stream

import "time"

// A pace says how near to the end of a stream a reader should be. A NATS server lets go
// of a block of messages that is full and was not read yet, and uses its memory for the
// next one; but one that was read while it was written stays in memory for ten seconds,
// as of the version 2.15: at full speed, half a gigabyte. So where a stream grows
// fast, it is read behind the block that is written.
type pace struct {
	near bool // whatever the speed

	behind  bool
	least   int64     // messages that make up the distance
	since   time.Time // when it was last looked how fast it is
	carried int       // bytes since then
}

const (
	// block is more data than the server keeps in one: 8 MiB, of which some are none.
	block = 8 << 20
	// fast is the speed, in bytes of data a second, from which on a reader keeps its
	// distance, which is a second then; below half of it, where that would be more than
	// two, it comes near again.
	fast = 8 << 20
	// look is how often it is looked at the speed, at most.
	look = 500 * time.Millisecond
	// lag is how long the server may wait until there is something at a distance. The
	// client tells it nine tenths.
	lag = 500 * time.Millisecond
)

// distance returns behind how many messages to stay; 0 is as near as can be.
func (p *pace) distance() int64 {
	if p.near || !p.behind {
		return 0
	}
	return p.least
}

// answered notes what an answer had, when it has been read. Where it had nothing, what
// there is lies nearer.
func (p *pace) answered(now time.Time, messages, bytes int) {
	if bytes > 0 {
		p.least = int64(block)*int64(messages)/int64(bytes) + 1
	}
	p.carried += bytes
	elapsed := now.Sub(p.since)
	if elapsed < look && bytes > 0 {
		return
	}
	speed := float64(p.carried) / elapsed.Seconds()
	p.behind = bytes > 0 && (speed >= fast || p.behind && speed >= fast/2)
	p.since, p.carried = now, 0
}
