// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"slices"
	"time"

	"github.com/docket-audit/docket/internal/stream"
)

// maxRecent bounds how many stretches of what was sent again are remembered.
// Beyond it the oldest are forgotten, and might be sent once more too soon.
const maxRecent = 4096

// recent is what was sent again lately. One goroutine uses it. The zero value
// works.
type recent struct {
	list []resent // oldest first
}

// A resent is a stretch of an epoch that was sent again.
type resent struct {
	stream.Range
	at time.Time
}

// add notes stretches that were sent again.
func (r *recent) add(ranges []stream.Range, now time.Time) {
	for _, x := range ranges {
		r.list = append(r.list, resent{x, now})
	}
	if n := len(r.list) - maxRecent; n > 0 {
		r.list = slices.Delete(r.list, 0, n)
	}
}

// forget forgets what was sent before a time.
func (r *recent) forget(before time.Time) {
	r.list = slices.DeleteFunc(r.list, func(s resent) bool { return s.at.Before(before) })
}

// without returns what of x was not sent lately, and what was.
func (r *recent) without(x stream.Range) (rest, again []stream.Range) {
	rest = []stream.Range{x}
	for i := range r.list {
		s := &r.list[i]
		if s.Epoch != x.Epoch || s.First > x.Last || s.Last < x.First {
			continue
		}
		var left []stream.Range
		for _, part := range rest {
			first, last := max(part.First, s.First), min(part.Last, s.Last)
			if first > last {
				left = append(left, part)
				continue
			}
			again = append(again, stream.Range{Epoch: x.Epoch, First: first, Last: last})
			if part.First < first {
				left = append(left, stream.Range{Epoch: x.Epoch, First: part.First, Last: first - 1})
			}
			if last < part.Last {
				left = append(left, stream.Range{Epoch: x.Epoch, First: last + 1, Last: part.Last})
			}
		}
		rest = left
	}
	return rest, again
}
