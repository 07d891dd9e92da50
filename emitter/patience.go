// SPDX-License-Identifier: Apache-2.0

package emitter

import "time"

// A patience is how long an answer of JetStream is waited for.
//
// What a server was told that died, or that the rest of its cluster cannot hear,
// is never answered; the others elect another leader within 4 to 9 seconds. So the
// first questions without an answer are asked again soon. A batch that is sent
// twice by that is on the stream twice, which every reader expects. But a server
// that is only slow gets the more work the less it can do; so what it usually takes
// is waited for several times over, and after some tries in vain the whole limit.
//
// Its owner is who sends.
type patience struct {
	usual  time.Duration // what the last acknowledgement took
	silent int           // questions in a row that were not answered
}

const (
	soon = 2 * time.Second
	// soonTries are as many as fit into an election.
	soonTries = 5
)

// of returns how long to wait where the most is limit.
func (p *patience) of(limit time.Duration) time.Duration {
	if p.silent >= soonTries {
		return limit
	}
	return min(max(soon, 4*p.usual), limit)
}

func (p *patience) answered(took time.Duration) { p.usual, p.silent = took, 0 }

func (p *patience) unanswered() { p.silent++ }
