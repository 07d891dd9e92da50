// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A Difference is one setting in which a server's stream promises less than
// the declaration.
type Difference struct {
	Field  string // as the JetStream API names it
	Found  string
	Wanted string
}

// A WeakerError says that the server's stream promises less than declared.
type WeakerError struct {
	Stream      string
	Differences []Difference // never empty
}

func (e *WeakerError) Error() string {
	parts := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		parts[i] = fmt.Sprintf("%s is %s, wanted %s", d.Field, d.Found, d.Wanted)
	}
	return fmt.Sprintf("check stream %s: weaker than declared: %s", e.Stream, strings.Join(parts, "; "))
}

// Hint tells what to do about it.
func (e *WeakerError) Hint() string {
	for _, d := range e.Differences {
		if slices.Contains(fixed, d.Field) {
			return fmt.Sprintf("JetStream cannot change %s of a stream that exists: make a new stream of that name, then run docket stream apply", d.Field)
		}
	}
	for _, d := range e.Differences {
		if d.Field == "subjects" && strings.HasPrefix(d.Wanted, emitterPrefix) {
			return "run docket stream apply; where there are several streams, --emitter says which emitters each is for"
		}
	}
	return "run docket stream apply"
}

// fixed are the settings that the server refuses to change.
var fixed = []string{"storage", "retention", "persist_mode", "mirror", "sealed"}

// A MissingError says that the server has no such stream.
type MissingError struct {
	Stream string
	Err    error
}

func (e *MissingError) Error() string { return fmt.Sprintf("check stream %s: %v", e.Stream, e.Err) }

// Unwrap returns what the server said.
func (e *MissingError) Unwrap() error { return e.Err }

// Hint tells what to do about it.
func (e *MissingError) Hint() string { return "run docket stream apply" }

// Check compares the server's stream with the declaration. It fails with a
// [*WeakerError] or a [*MissingError] when an operator must act, with another
// error when the server could not be asked.
func Check(ctx context.Context, js jetstream.JetStream, opts ...Option) error {
	d := Declared(opts...)
	s, err := js.Stream(ctx, d.Stream.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return &MissingError{Stream: d.Stream.Name, Err: err}
	}
	if err != nil {
		return fmt.Errorf("check stream %s: %w", d.Stream.Name, err)
	}
	found := s.CachedInfo().Config
	if diffs := Weaker(found, d.of(&found)); len(diffs) > 0 {
		return &WeakerError{Stream: d.Stream.Name, Differences: diffs}
	}
	return nil
}

// Weaker returns in what found promises less than wanted.
func Weaker(found, wanted jetstream.StreamConfig) []Difference {
	var diffs []Difference
	add := func(weaker bool, field string, f, w any) {
		if weaker {
			diffs = append(diffs, Difference{Field: field, Found: fmt.Sprint(f), Wanted: fmt.Sprint(w)})
		}
	}
	add(found.Storage != wanted.Storage, "storage", word(found.Storage), word(wanted.Storage))
	add(found.Retention != wanted.Retention, "retention", word(found.Retention), word(wanted.Retention))
	add(found.PersistMode != wanted.PersistMode, "persist_mode", word(found.PersistMode), word(wanted.PersistMode))
	add(found.Mirror != nil, "mirror", "set", "none")
	add(found.Sealed, "sealed", true, false)
	add(found.Discard != wanted.Discard, "discard", word(found.Discard), word(wanted.Discard))
	add(!found.AllowAtomicPublish, "allow_atomic", false, true)
	add(found.NoAck, "no_ack", true, false)
	add(found.MaxAge != 0, "max_age", found.MaxAge, "none")
	// Without discard_new_per_subject the limit throws old messages away, with
	// it the stream refuses, and the emitters keep the events.
	add(found.MaxMsgsPerSubject > 0 && !found.DiscardNewPerSubject, "max_msgs_per_subject", found.MaxMsgsPerSubject, "none")
	add(found.MaxMsgSize > 0 && (wanted.MaxMsgSize <= 0 || found.MaxMsgSize < wanted.MaxMsgSize), "max_msg_size", found.MaxMsgSize, wanted.MaxMsgSize)
	add(found.Replicas < wanted.Replicas, "num_replicas", found.Replicas, wanted.Replicas)
	add(found.SubjectTransform != nil, "subject_transform", "set", "none")
	for _, s := range wanted.Subjects {
		add(!covered(found.Subjects, s), "subjects", strings.Join(found.Subjects, " "), s)
	}
	return diffs
}

// word returns the API's word for a setting, without the quotes of its JSON.
func word(m interface{ MarshalJSON() ([]byte, error) }) string {
	b, err := m.MarshalJSON()
	if err != nil {
		return "unknown"
	}
	return strings.Trim(string(b), `"`)
}

// covered reports whether one of the patterns matches every subject that
// wanted matches.
func covered(patterns []string, wanted string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, wanted) })
}

func covers(pattern, wanted string) bool {
	p, w := strings.Split(pattern, "."), strings.Split(wanted, ".")
	for i, token := range p {
		if token == ">" {
			return len(w) > i
		}
		if i >= len(w) || w[i] == ">" || (token != "*" && token != w[i]) {
			return false
		}
	}
	return len(p) == len(w)
}
