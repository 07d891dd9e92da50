// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// How well an evaluation can be replayed.
const (
	GradeFull    = "full"    // all that the binding was shown is in the record
	GradePartial = "partial" // the payload is, the current state is not
	GradeNone    = "none"    // the payload is not
)

// What api.request.data of an evaluation is made of.
const (
	dataProposed  = "proposed_operation"
	dataState     = "current_state"
	dataCommitted = "committed_response"

	dataSameAs      = "same_as"               // the payload is that of this evaluation
	dataStateSameAs = "current_state_same_as" // the state is that of this evaluation

	// In place of what is too large to be captured.
	suffixDigest = "_digest"
	suffixBytes  = "_bytes"
)

type digest [sha256.Size]byte

func (d digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// seen remembers what the evaluations of one operation were shown: not the
// payloads, only their digests.
type seen struct{ payloads, states map[digest]interceptor.UID }

// first returns the evaluation that was shown d first, and notes e when it is.
func first(m *map[digest]interceptor.UID, d digest, e interceptor.UID) (interceptor.UID, bool) {
	if uid, ok := (*m)[d]; ok {
		return uid, true
	}
	if *m == nil {
		*m = map[digest]interceptor.UID{}
	}
	(*m)[d] = e
	return "", false
}

// A capture is the input of one evaluation as it is recorded.
type capture struct {
	data       map[string]any
	grade, why string
	size       int // of what was left out, in bytes
}

// captured returns what is recorded of an evaluation's input.
func captured(e *interceptor.Evaluation, s *seen, limit int) capture {
	c := capture{data: map[string]any{}, grade: GradeFull}
	name := dataProposed
	if e.Phase == interceptor.PostCommit {
		name = dataCommitted
	}
	if e.Payload == nil {
		c.miss(GradeNone, "no payload")
	} else {
		c.take(e.Payload, name, dataSameAs, GradeNone, &s.payloads, e.UID, limit)
	}
	if e.State != nil {
		c.take(e.State, dataState, dataStateSameAs, GradePartial, &s.states, e.UID, limit)
	}
	return c
}

func (c *capture) take(p *interceptor.Payload, name, sameAs, without string, s *map[digest]interceptor.UID, uid interceptor.UID, limit int) {
	raw, err := p.JSON()
	if err != nil {
		c.miss(without, name+": "+text(err.Error()))
		return
	}
	d := digest(sha256.Sum256(raw))
	if len(raw) > limit {
		c.data[name+suffixDigest], c.data[name+suffixBytes] = d.String(), len(raw)
		c.miss(without, fmt.Sprintf("%s: %d bytes; at most %d are captured", name, len(raw), limit))
		c.size += len(raw)
		return
	}
	if earlier, ok := first(s, d, uid); ok {
		c.data[sameAs] = string(earlier)
		return
	}
	c.data[name] = ocsf.Canonical(raw)
}

// miss lowers the grade; none is the lowest.
func (c *capture) miss(grade, why string) {
	if c.grade != GradeNone {
		c.grade = grade
	}
	if c.why != "" {
		c.why += "; "
	}
	c.why += why
}
