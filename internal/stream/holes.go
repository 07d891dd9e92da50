// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ControlPrefix begins the subjects by which Docket's parts talk to each other.
// No stream holds them.
const ControlPrefix = "docket.control"

// HolesSubject returns the subject on which an emitter is asked for what a store
// lacks:
//
//	docket.control.<emitter>.holes
//
// emitter is the emitter's name as one subject token, the one that its events'
// subjects end in. NATS permissions let the emitter alone listen to it, and
// collectors alone publish it: its credential says whose answer it is.
func HolesSubject(emitter string) string { return ControlPrefix + "." + emitter + ".holes" }

// A Range is the sequences of an epoch from First to Last, both included.
type Range struct {
	Epoch string `json:"epoch"`
	First int64  `json:"first"`
	Last  int64  `json:"last"`
}

// Len returns how many sequences are in r.
func (r Range) Len() int64 { return r.Last - r.First + 1 }

// A Question asks an emitter for ranges that a store lacks.
type Question struct {
	Ranges []Range `json:"ranges"`
}

// What an emitter answers about a range.
const (
	// AnswerResent: JetStream acknowledged all of it, again, a moment ago.
	AnswerResent = "resent"
	// AnswerLater: the emitter has it, or will, and could not send it now: ask
	// again.
	AnswerLater = "later"
	// AnswerGone: the epoch is the emitter's, and this of it is lost there.
	AnswerGone = "gone"
	// AnswerNotMine: the emitter knows of no such epoch. Another process of the
	// same name may.
	AnswerNotMine = "not_mine"
)

// An Answered range is what an emitter says of a part of what it was asked for.
type Answered struct {
	Range
	Answer string `json:"answer"`
	// Why is what the emitter knows about it, for people; at most 300 bytes.
	Why string `json:"why,omitempty"`
}

// An Answer is the reply to a [Question]. It may leave parts out.
type Answer struct {
	Ranges []Answered `json:"ranges"`
}

// The limits of questions and answers. What is longer is none.
const (
	MaxRanges   = 256  // of a question
	MaxAnswered = 1024 // of an answer
	maxQuestion = 64 << 10
	maxAnswer   = 1 << 20
	maxWhy      = 300
	maxSequence = 1 << 53
)

// ErrControl says that a message is no question, or no answer.
var ErrControl = errors.New("not a message about holes")

// Encode returns q as [ParseQuestion] reads it.
func (q Question) Encode() ([]byte, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode question: %w", err)
	}
	return b, nil
}

// ParseQuestion reads a question that anybody may have sent.
func ParseQuestion(b []byte) (Question, error) {
	var q Question
	if err := parseControl(b, maxQuestion, &q); err != nil {
		return Question{}, err
	}
	if n := len(q.Ranges); n == 0 || n > MaxRanges {
		return Question{}, fmt.Errorf("%w: %d ranges", ErrControl, n)
	}
	for _, r := range q.Ranges {
		if err := r.check(); err != nil {
			return Question{}, err
		}
	}
	return q, nil
}

// Encode returns a as [ParseAnswer] reads it.
func (a Answer) Encode() ([]byte, error) {
	a.Ranges = append([]Answered(nil), a.Ranges[:min(len(a.Ranges), MaxAnswered)]...)
	for i := range a.Ranges {
		if why := &a.Ranges[i].Why; len(*why) > maxWhy {
			*why = strings.ToValidUTF8((*why)[:maxWhy], "")
		}
	}
	b, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return b, nil
}

// ParseAnswer reads an answer that anybody may have sent, to a question whose
// ranges were asked. It fails when a part of it is about anything else, or when
// parts overlap: then none of it is believed.
func ParseAnswer(b []byte, asked Question) (Answer, error) {
	var a Answer
	if err := parseControl(b, maxAnswer, &a); err != nil {
		return Answer{}, err
	}
	if n := len(a.Ranges); n == 0 || n > MaxAnswered {
		return Answer{}, fmt.Errorf("%w: %d ranges", ErrControl, n)
	}
	reached := make(map[string]int64)
	for i := range a.Ranges {
		r := &a.Ranges[i]
		if err := r.check(); err != nil {
			return Answer{}, err
		}
		switch r.Answer {
		case AnswerResent, AnswerLater, AnswerGone, AnswerNotMine:
		default:
			return Answer{}, fmt.Errorf("%w: answer %.40q", ErrControl, r.Answer)
		}
		if len(r.Why) > maxWhy {
			return Answer{}, fmt.Errorf("%w: %d bytes of why", ErrControl, len(r.Why))
		}
		if !asked.covers(r.Range) {
			return Answer{}, fmt.Errorf("%w: nobody asked for %d to %d of epoch %.80q", ErrControl, r.First, r.Last, r.Epoch)
		}
		if r.First <= reached[r.Epoch] {
			return Answer{}, fmt.Errorf("%w: its ranges overlap or are out of order", ErrControl)
		}
		reached[r.Epoch] = r.Last
	}
	return a, nil
}

func (q Question) covers(r Range) bool {
	for _, asked := range q.Ranges {
		if asked.Epoch == r.Epoch && asked.First <= r.First && r.Last <= asked.Last {
			return true
		}
	}
	return false
}

func (r Range) check() error {
	if !isToken(r.Epoch) || r.First < 1 || r.Last < r.First || r.Last > maxSequence {
		return fmt.Errorf("%w: range %d to %d of epoch %.80q", ErrControl, r.First, r.Last, r.Epoch)
	}
	return nil
}

func parseControl(b []byte, most int, to any) error {
	if len(b) > most {
		return fmt.Errorf("%w: %d bytes", ErrControl, len(b))
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%w: %w", ErrControl, err)
	}
	return nil
}
