// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"sync"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Lent is an event of a fact: an [ocsf.APIActivity] in memory that its Recorder
// uses again. Whoever was handed one MAY call Release, once, when the event is
// encoded. Then the event is empty, and MUST NOT be touched any more. One that is
// never released is the garbage collector's, as any other.
type Lent interface {
	ocsf.Event
	Release()
}

// A draft is an event with room for what it alone points to, so that one piece of
// memory is the whole event. What the events of an operation share lies elsewhere
// and never changes.
type draft struct {
	ocsf.APIActivity

	api       ocsf.API
	request   ocsf.Request
	response  ocsf.Response
	policy    ocsf.Policy
	traced    ocsf.Trace
	spanned   ocsf.Span
	tags      [3]ocsf.KeyValueObject
	authority [1]ocsf.Authorization
	bits      [3]bool
	numbers   [3]int64

	// The maps are kept when the draft is released, without what was in them.
	unmapped, ours, data map[string]any

	left leftOut // what the event says was left out of it
	free bool    // nobody has it
}

var _ Lent = (*draft)(nil)

// What the parts of bits and numbers are for.
const (
	bitApplied = iota
	bitAlert
	bitTruncated
)

const (
	numberCode = iota
	numberDuration
	numberSize
)

var drafts = sync.Pool{New: func() any { return newDraft() }}

func newDraft() *draft {
	return &draft{unmapped: map[string]any{}, ours: map[string]any{}, data: map[string]any{}}
}

// draw returns a draft without anything in it.
func draw() *draft {
	d, _ := drafts.Get().(*draft)
	d.free = false
	return d
}

// Release implements [Lent].
func (d *draft) Release() {
	if d.free {
		return // released twice: to give it away twice would mix two events
	}
	unmapped, ours, data := emptied(d.unmapped), emptied(d.ours), emptied(d.data)
	*d = draft{unmapped: unmapped, ours: ours, data: data, free: true}
	drafts.Put(d)
}

// keptMembers is how large a map may be to be kept: a rare giant is not.
const keptMembers = 32

func emptied(m map[string]any) map[string]any {
	if len(m) > keptMembers {
		return map[string]any{}
	}
	clear(m)
	return m
}

// own puts what is not mapped under Docket's own name.
func (d *draft) own(name string, value any) {
	if d.Unmapped == nil {
		d.unmapped[profile.Unmapped] = d.ours
		d.Unmapped = d.unmapped
	}
	d.ours[name] = value
}

func (d *draft) tag(name, value string) {
	if d.Metadata.Tags == nil {
		d.Metadata.Tags = d.tags[:0]
	}
	d.Metadata.Tags = append(d.Metadata.Tags, ocsf.KeyValueObject{Name: name, Value: value})
}

// bit and number keep what the schema has pointers to.
func (d *draft) bit(which int, v bool) *bool {
	d.bits[which] = v
	return &d.bits[which]
}

func (d *draft) number(which int, v int64) *int64 {
	d.numbers[which] = v
	return &d.numbers[which]
}

func (d *draft) ask(uid string) {
	d.request.UID = uid
	d.API.Request = &d.request
}

// decide sets the only authorization of an event.
func (d *draft) decide(decision string) {
	d.authority[0].Decision = decision
	d.Authorizations = d.authority[:]
}
