// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
)

// A Finding is one thing that is wrong.
type Finding struct {
	Code, Path, Message string
}

// A Report is what validation found in one event, or in what is around the
// events of a bundle. Findings are sorted by path, then code; none occurs twice.
type Report struct {
	ClassUID         int64  // 0 when it is absent or no integer
	UID              string // metadata.uid
	Errors, Warnings []Finding
	Truncated        bool // there was more than a report holds
}

// What a report holds. An event of a megabyte can be wrong in a hundred
// thousand places, each with a path of kilobytes.
const (
	maxFindings = 10_000
	maxText     = 8 << 20 // bytes of paths and messages
)

// fail adds an error.
func (w *walk) fail(code, path, format string, args ...any) {
	w.found(&w.report.Errors, code, path, format, args)
}

// warn adds a warning.
func (w *walk) warn(code, path, format string, args ...any) {
	w.found(&w.report.Warnings, code, path, format, args)
}

func (w *walk) found(list *[]Finding, code, path, format string, args []any) {
	if w.full() {
		w.report.Truncated = true
		return
	}
	f := Finding{Code: code, Path: path, Message: fmt.Sprintf(format, args...)}
	w.findings++
	w.textBytes += len(f.Path) + len(f.Message)
	*list = append(*list, f)
}

// full says that what is found from now on does not go into the report, so that
// it need not be put into words either.
func (w *walk) full() bool {
	return w.findings >= maxFindings || w.textBytes >= maxText
}

func (r *Report) sort() {
	for _, list := range []*[]Finding{&r.Errors, &r.Warnings} {
		if len(*list) < 2 {
			continue
		}
		slices.SortFunc(*list, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
		})
		// A name that occurs twice in an object can be unknown only once.
		*list = slices.Compact(*list)
	}
}

// push makes name, or its element if index is not negative, the place where
// what follows is. It returns what pop takes to go back.
func (w *walk) push(name string, index int) int {
	mark := len(w.path)
	w.path = appendPath(w.path, name, index)
	return mark
}

func (w *walk) pop(mark int) { w.path = w.path[:mark] }

// at returns the path of an attribute, or of its element if index is not
// negative, of the item that the walk is in.
func (w *walk) at(name string, index int) string {
	if w.full() {
		return ""
	}
	mark := w.push(name, index)
	path := string(w.path)
	w.pop(mark)
	return path
}

func appendPath(path []byte, name string, index int) []byte {
	if len(path) > 0 {
		path = append(path, '.')
	}
	path = append(path, name...)
	if index >= 0 {
		path = append(path, '[')
		path = strconv.AppendInt(path, int64(index), 10)
		path = append(path, ']')
	}
	return path
}

// maxShown is how much of an event's text goes into a message, in bytes.
const maxShown = 80

// describe says what a value is, for a message.
func (w *walk) describe(n jsontree.Node) string {
	if w.full() {
		return ""
	}
	switch kind := w.tree.Kind(n); kind {
	case jsontree.String:
		return "string " + show(w.tree.Text(n))
	case jsontree.Array, jsontree.Object:
		return kind.String()
	case jsontree.Integer, jsontree.Decimal:
		if text := w.tree.Text(n); len(text) > maxShown {
			return fmt.Sprintf("number %s... of %d characters", text[:maxShown/2], len(text))
		}
		return "number " + string(w.tree.Text(n))
	default:
		return string(w.tree.Text(n))
	}
}

// show quotes text of an event.
func show(text []byte) string {
	if len(text) <= maxShown {
		return strconv.Quote(string(text))
	}
	// The cut may go through a character, of which Quote makes an escape.
	return strconv.Quote(string(text[:maxShown])) + "..."
}
