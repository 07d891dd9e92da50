// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"cmp"
	"strings"
)

// A version is that of a schema, as it is written.
type version struct {
	numbers    [3]string
	prerelease string // such as "rc.2"; empty for a release
}

// parseVersion takes major.minor.patch and, after a hyphen, a prerelease, as
// the server does: numbers have no leading zeros, a prerelease is any text of
// one line, and a line feed may follow. What semantic versions say after a plus
// makes a release malformed, but is any text in a prerelease.
func parseVersion(s string) (version, bool) {
	var v version
	s = strings.TrimSuffix(s, "\n")
	s, prerelease, hyphen := strings.Cut(s, "-")
	v.prerelease = prerelease
	if hyphen && (prerelease == "" || strings.Contains(prerelease, "\n")) {
		return version{}, false
	}
	for i := range v.numbers {
		part, rest, more := strings.Cut(s, ".")
		if part == "" || strings.Trim(part, "0123456789") != "" || part[0] == '0' && part != "0" {
			return version{}, false
		}
		if more != (i+1 < len(v.numbers)) {
			return version{}, false
		}
		v.numbers[i], s = part, rest
	}
	return v, true
}

// compare orders by the numbers, and a prerelease before its release. Two
// prereleases of one version compare as texts, not as semantic versions would.
func (v *version) compare(other *version) int {
	for i, n := range v.numbers {
		// Without leading zeros, a longer number is a greater one.
		if c := cmp.Or(cmp.Compare(len(n), len(other.numbers[i])), cmp.Compare(n, other.numbers[i])); c != 0 {
			return c
		}
	}
	switch {
	case v.prerelease == other.prerelease:
		return 0
	case v.prerelease == "":
		return 1
	case other.prerelease == "":
		return -1
	default:
		return cmp.Compare(v.prerelease, other.prerelease)
	}
}
