// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"cmp"
	"strings"
)

// A version is that of a schema, as its numbers are written.
type version struct {
	numbers    [3]string // without leading zeros
	prerelease string    // such as "rc.2"; empty for a release
}

// parseVersion takes major.minor.patch and, after a hyphen, a prerelease.
// Semantic versions may also say something after a plus, which makes them
// malformed here as it does to the server.
func parseVersion(s string) (version, bool) {
	var v version
	s, prerelease, hyphen := strings.Cut(s, "-")
	v.prerelease = prerelease
	if hyphen && !isPrerelease(prerelease) {
		return version{}, false
	}
	parts := strings.Split(s, ".")
	if len(parts) != len(v.numbers) {
		return version{}, false
	}
	for i, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return version{}, false
		}
		v.numbers[i] = strings.TrimLeft(part, "0")
	}
	return v, true
}

func isPrerelease(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for _, c := range []byte(part) {
			if c|0x20 < 'a' || 'z' < c|0x20 {
				if c != '-' && (c < '0' || '9' < c) {
					return false
				}
			}
		}
	}
	return true
}

// compare orders as semantic versions are: a prerelease is before its release.
func (v *version) compare(other *version) int {
	for i, n := range v.numbers {
		if c := compareNumbers(n, other.numbers[i]); c != 0 {
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
	}
	a, b := strings.Split(v.prerelease, "."), strings.Split(other.prerelease, ".")
	for i := range min(len(a), len(b)) {
		if c := comparePrereleases(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// compareNumbers compares texts of numbers without leading zeros.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// comparePrereleases compares what is between two dots: numbers by value, and
// before words.
func comparePrereleases(a, b string) int {
	an, bn := strings.Trim(a, "0123456789") == "", strings.Trim(b, "0123456789") == ""
	switch {
	case an && bn:
		return compareNumbers(strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0"))
	case an:
		return -1
	case bn:
		return 1
	default:
		return cmp.Compare(a, b)
	}
}
