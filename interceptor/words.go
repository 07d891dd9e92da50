// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"fmt"
	"strings"
)

// The words below are those of the wire contract, of chain.toml and of events.
// A value without a word is written as the empty text, which is read as zero.

var (
	phaseWords    = map[Phase]string{ModifyOperation: "modify_operation", Validate: "validate", PostCommit: "post_commit"}
	policyWords   = map[FailurePolicy]string{FailClosed: "fail_closed", FailOpen: "fail_open", Ignore: "ignore"}
	decisionWords = map[Decision]string{None: "none", Allow: "allow", Deny: "deny", Modify: "modify"}
)

// String returns the phase's word.
func (p Phase) String() string { return phaseWords[p] }

// MarshalText implements [encoding.TextMarshaler].
func (p Phase) MarshalText() ([]byte, error) { return toWord(p, phaseWords, "phase") }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Phase) UnmarshalText(text []byte) error { return fromWord(p, text, phaseWords, "phase") }

// String returns the failure policy's word.
func (p FailurePolicy) String() string { return policyWords[p] }

// MarshalText implements [encoding.TextMarshaler].
func (p FailurePolicy) MarshalText() ([]byte, error) {
	return toWord(p, policyWords, "failure policy")
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *FailurePolicy) UnmarshalText(text []byte) error {
	return fromWord(p, text, policyWords, "failure policy")
}

// String returns the decision's word.
func (d Decision) String() string { return decisionWords[d] }

// MarshalText implements [encoding.TextMarshaler].
func (d Decision) MarshalText() ([]byte, error) { return toWord(d, decisionWords, "decision") }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Decision) UnmarshalText(text []byte) error {
	return fromWord(d, text, decisionWords, "decision")
}

func toWord[T ~uint8](v T, words map[T]string, noun string) ([]byte, error) {
	word, ok := words[v]
	if !ok && v != 0 {
		return nil, fmt.Errorf("write %s: no word for number %d", noun, v)
	}
	return []byte(word), nil
}

func fromWord[T ~uint8](v *T, text []byte, words map[T]string, noun string) error {
	if len(text) == 0 {
		*v = 0
		return nil
	}
	for value, word := range words {
		if word == string(text) {
			*v = value
			return nil
		}
	}
	known := make([]string, 0, len(words))
	for value := range T(8) {
		if word, ok := words[value]; ok {
			known = append(known, word)
		}
	}
	return fmt.Errorf("unknown %s %q: want one of %s", noun, text, strings.Join(known, ", "))
}
