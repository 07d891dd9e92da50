// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Canaries are what no event may hold: one a line, a name and after a space a
// regular expression, which goes to the line's end.
type Canaries struct{ List []Canary }

// A Canary is one of them.
type Canary struct {
	Name    string
	Pattern *regexp.Regexp
}

// UnmarshalText implements encoding.TextUnmarshaler. Its errors do not tell the
// patterns, which may be secrets.
func (c *Canaries) UnmarshalText(b []byte) error {
	c.List = nil
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, pattern, _ := strings.Cut(line, " ")
		re, err := regexp.Compile(strings.TrimSpace(pattern))
		if err != nil || strings.TrimSpace(pattern) == "" {
			return fmt.Errorf("canary %d is not a name, a space and a regular expression", len(c.List)+1)
		}
		c.List = append(c.List, Canary{name, re})
	}
	return nil
}
