// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"math/bits"
	"strconv"
)

// versions is a set of schema versions, a bit each in the order of knownVersions.
type versions uint8

// versionOf returns the set of just v, or none for a version that is not known.
func versionOf(v string) versions {
	for i, known := range knownVersions {
		if v == known {
			return 1 << i
		}
	}
	return 0
}

// String returns the oldest version of the set.
func (v versions) String() string {
	if v == 0 {
		return ""
	}
	return knownVersions[bits.TrailingZeros8(uint8(v))]
}

func (v versions) list() []string {
	var l []string
	for i, known := range knownVersions {
		if v&(1<<i) != 0 {
			l = append(l, known)
		}
	}
	return l
}

// A class is what the schema says of a class as a whole.
type class struct {
	uid             ClassUID
	category        CategoryUID
	caption         string
	categoryCaption string
	in              versions
	activities      captions
	statuses        captions
}

// captions are the captions of an enum's values, ordered by value. A value whose
// caption changed is there once for each.
type captions []caption

type caption struct {
	value int64
	text  string
	in    versions
}

// in returns the caption of value in a version, or "".
func (c captions) in(value int64, version versions) string {
	// Most enums count from 0.
	if i := int(value); i >= 0 && i < len(c) && c[i].value == value && c[i].in&version != 0 {
		return c[i].text
	}
	for i := range c {
		if c[i].value == value && c[i].in&version != 0 {
			return c[i].text
		}
	}
	return ""
}

// latest returns the newest caption of value, or its digits.
func (c captions) latest(value int64) string {
	var text string
	var in versions
	for i := range c {
		if c[i].value == value && c[i].in > in {
			text, in = c[i].text, c[i].in
		}
	}
	if in == 0 {
		return strconv.FormatInt(value, 10)
	}
	return text
}
