// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"bytes"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/interceptor"
)

// What a member of an event says. One that is of another type than it should be says
// nothing, as one that is not there: what is free-form is so.

// place returns where w is; 0 when it is not there, and no member is ever at 0.
func (l *look) place(w wanted) int { return int(l.at[w]) }

func (l *look) has(w wanted) bool { return l.at[w] != 0 }

// is says whether w begins with c.
func (l *look) is(w wanted, c byte) bool { return l.has(w) && l.Kind(l.place(w)) == c }

// member returns where the member of an object is; 0 when it has none of that name,
// or is no object.
func (l *look) member(n int, name string) int {
	if n == 0 || l.Kind(n) != '{' {
		return 0
	}
	for c, end := n+1, l.After(n); c < end; c = l.After(c) {
		if l.Is(c, name) {
			return c
		}
	}
	return 0
}

// items goes through a list, if it is one.
func (l *look) items(n int) iter.Seq[int] { return l.within(n, '[') }

// members goes through an object, if it is one.
func (l *look) members(n int) iter.Seq[int] { return l.within(n, '{') }

func (l *look) within(n int, kind byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		if n == 0 || l.Kind(n) != kind {
			return
		}
		for c, end := n+1, l.After(n); c < end && yield(c); c = l.After(c) {
		}
	}
}

// text returns what w says, and whether it is a text.
func (r *reading) text(w wanted) (string, bool) { return r.textAt(r.place(w)) }

func (r *reading) textAt(n int) (string, bool) {
	if n == 0 {
		return "", false
	}
	said, ok := r.Text(n)
	return r.names.said(said), ok
}

// uid is text for one of the many that are of one operation alone.
func (r *reading) uid(n int) interceptor.UID {
	if n == 0 {
		return ""
	}
	said, _ := r.Text(n)
	return interceptor.UID(said)
}

// says reports whether n is a text, and that one.
func (l *look) says(n int, text string) bool {
	if n == 0 {
		return false
	}
	said, ok := l.Text(n)
	return ok && string(said) == text
}

// texts returns an object of texts; nil when w is no object.
func (r *reading) texts(w wanted) map[string]string {
	n := r.place(w)
	if n == 0 || r.Kind(n) != '{' {
		return nil
	}
	out := make(map[string]string, r.count(n))
	for c := range r.members(n) {
		value, _ := r.textAt(c)
		out[r.names.said(r.Said(c))] = value
	}
	return out
}

// count returns how many values are in n, not in those within it.
func (l *look) count(n int) int {
	count := 0
	for c, end := n+1, l.After(n); c < end; c = l.After(c) {
		count++
	}
	return count
}

// whole returns an integer that the schema has as one.
func (l *look) whole(w wanted) int64 {
	if !l.has(w) {
		return 0
	}
	n, _ := strconv.ParseInt(string(l.Raw(l.place(w))), 10, 64)
	return n
}

// integer returns a number as one, whatever it is.
func (l *look) integer(w wanted) int {
	if !l.has(w) {
		return 0
	}
	raw := l.Raw(l.place(w))
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return 0
	}
	f, _ := strconv.ParseFloat(string(raw), 64)
	return int(f)
}

// free returns a free-form value as encoding/json has it.
func (l *look) free(n int) (any, error) {
	var value any
	// Whoever parsed the event has refused duplicate names.
	err := json.Unmarshal(l.Raw(n), &value, jsontext.AllowDuplicateNames(true))
	return value, err
}

// namespaces returns the metadata that w is; nil when it is none.
func (l *look) namespaces(w wanted) (map[string]map[string]any, error) {
	if !l.is(w, '{') {
		return nil, nil
	}
	v, err := l.free(l.place(w))
	m, _ := v.(map[string]any)
	out := make(map[string]map[string]any, len(m))
	for name, item := range m {
		out[name], _ = item.(map[string]any)
	}
	return out, err
}

// counted fails when a number in what is free-form at w is too large to be one.
func (l *look) counted(w wanted) error {
	n := l.place(w)
	if n == 0 {
		return nil
	}
	for c, end := n, l.After(n); c < end; c++ {
		raw := l.Raw(c)
		if (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') && (len(raw) > 300 || bytes.ContainsAny(raw, "eE")) {
			_, err := l.free(n)
			return err
		}
	}
	return nil
}
