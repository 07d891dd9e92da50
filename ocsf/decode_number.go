// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"math"
	"strconv"
	"strings"
)

// integer reads an integer that is written as one: 5.0 is none.
func (d *decoder) integer() int64 {
	d.peek()
	if v, end := shortInteger(d.s, d.i); end > d.i {
		d.i = end
		return v
	}
	n, whole := d.digits("an integer")
	if d.err != nil {
		return 0
	}
	if !whole {
		d.fail(&TypeError{Want: "an integer", Got: "the fraction " + clip(n)})
		return 0
	}
	v, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		d.fail(&TypeError{Want: "an integer of 64 bits", Got: clip(n)})
	}
	return v
}

// shortInteger reads the integer that starts at s[i], and returns where it ends. It
// is for most of them, of digits only and not too many: else it ends at i.
func shortInteger(s string, i int) (v int64, end int) {
	const most = 18 // digits that an int64 always holds
	for end = i; end < len(s); end++ {
		c := s[end] - '0'
		if c > 9 {
			break
		}
		v = v*10 + int64(c)
	}
	if end == i || end >= len(s) || !delimits(s[end]) || end-i > most || s[i] == '0' && end > i+1 {
		return 0, i
	}
	return v, end
}

func (d *decoder) number() float64 {
	n, _ := d.digits("a number")
	if d.err != nil {
		return 0
	}
	v, err := strconv.ParseFloat(n, 64)
	if err != nil || math.IsInf(v, 0) {
		d.fail(&TypeError{Want: "a number within the range of a double", Got: clip(n)})
	}
	return v
}

func clip(s string) string { return s[:min(len(s), 40)] }

// digits reads a number and says whether it is a whole one, of digits only.
func (d *decoder) digits(what string) (n string, whole bool) {
	c := d.peek()
	if c != '-' && (c < '0' || c > '9') {
		d.mismatch(what, c)
		return "", false
	}
	start := d.i
	for d.i < len(d.s) && !delimits(d.s[d.i]) {
		d.i++
	}
	n = d.s[start:d.i]
	whole, ok := isNumber(n)
	if !ok {
		d.i = start
		d.syntax("invalid number")
	}
	return n, whole
}

// isNumber checks s against the number grammar of RFC 8259.
func isNumber(s string) (whole, ok bool) {
	run := func() bool { // a run of digits
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	if strings.HasPrefix(s, "0") {
		s = s[1:]
	} else if !run() {
		return false, false
	}
	whole = s == ""
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !run() {
			return false, false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !run() {
			return false, false
		}
	}
	return whole, s == ""
}
