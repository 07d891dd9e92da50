// SPDX-License-Identifier: Apache-2.0

package activity

import "strings"

// Names are texts that come again and again in a history: those of services and
// bindings, of keys and people. Each is kept once. Of nil names every text is one of
// its own.
type names map[string]string

const (
	// maxNames bounds how many are kept: whoever made the history chose them.
	maxNames = 10_000
	maxName  = 80 // bytes
)

// said returns b as a text of its own memory.
func (n names) said(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	n.keep(s)
	return s
}

// of returns s, which may be part of something larger, as a text of its own memory;
// s itself of nil names.
func (n names) of(s string) string {
	if n == nil {
		return s
	}
	if known, ok := n[s]; ok {
		return known
	}
	s = strings.Clone(s)
	n.keep(s)
	return s
}

func (n names) keep(s string) {
	if n == nil || len(s) > maxName {
		return
	}
	if len(n) >= maxNames {
		clear(n)
	}
	n[s] = s
}
