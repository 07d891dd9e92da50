// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// An Option says how to replay, and what a [Test] may find.
type Option func(*options)

type options struct {
	where           string
	requireVerified bool
	plans           func(digest string) (*interceptor.Plan, error)
	against         *interceptor.Plan
	learn           bool
	old             *interceptor.Plan // to learn noise from
	workers         int
	observe         func(context.Context, *Moment) error
	each            func(Diff)

	from, until time.Time
	keep        []func(*activity.Operation) bool
	only        string // uid
	sample      int    // of each stratum; 0: all
	seed        uint64

	resumed    *Report
	every      int // operations between checkpoints
	checkpoint func(*Report) error

	// Of Test.
	allowed     []Difference
	minExecuted float64
}

const defaultMinExecuted = 0.9

func newOptions(opts []Option) options {
	o := options{minExecuted: defaultMinExecuted, workers: 1}
	for _, opt := range opts {
		opt(&o)
	}
	if o.observe != nil {
		o.workers = 1
	}
	return o
}

// Where selects events, in the terms of the Source. It SHOULD select whole
// operations.
func Where(condition string) Option { return func(o *options) { o.where = condition } }

// RequireVerified makes Run fail unless the Source says that its events are what
// was recorded.
func RequireVerified() Option { return func(o *options) { o.requireVerified = true } }

// Recorded gives each operation the plan that was in force for it: find returns
// it by its digest. It holds where [Run] is given no plan.
func Recorded(find func(digest string) (*interceptor.Plan, error)) Option {
	return func(o *options) { o.plans = find }
}

// Against compares with what another plan makes of the operations now, instead of
// with what the record says came of them.
func Against(plan *interceptor.Plan) Option { return func(o *options) { o.against = plan } }

// Workers sets how many operations are under way at once; default 1. The report is
// the same for any number, provided that implementations judge an operation
// without regard to others: those that keep count see operations in the order of
// the record with one worker only.
func Workers(n int) Option { return func(o *options) { o.workers = max(n, 1) } }

// Each calls f for each operation, in the order in which they ended, with how it
// compares.
func Each(f func(Diff)) Option { return func(o *options) { o.each = f } }

// Checkpoint calls save with the report so far, whenever so many more operations
// were replayed. An error of save ends the replay. See [Resume].
func Checkpoint(every int, save func(*Report) error) Option {
	return func(o *options) { o.every, o.checkpoint = max(every, 1), save }
}

// Resume goes on with a replay of which a [Checkpoint] was saved: over the same
// history and with the same options, the operations that are in report are read,
// but not replayed again.
func Resume(report *Report) Option { return func(o *options) { o.resumed = report } }

// Allow lets a [Test] pass in spite of a difference. Several may be given; each
// operation that differs counts against the first that takes it.
func Allow(d Difference) Option { return func(o *options) { o.allowed = append(o.allowed, d) } }

// MinExecuted sets the share of the candidate's evaluations that a [Test] wants
// re-executed, from 0 to 1; default 0.9. A test whose bindings are all answered
// from the record has tested nothing.
func MinExecuted(share float64) Option { return func(o *options) { o.minExecuted = share } }

// A Difference is one that was thought of.
type Difference struct {
	comparison Comparison
	from, to   string
	binding    string
	limit      int // -1: any number
}

// Flip is the difference that operations decided one way are decided another:
// "allow", "deny" or "modify", or "*" for any.
func Flip(from, to string) Difference {
	return Difference{comparison: Flipped, from: from, to: to, limit: -1}
}

// PatchDiff is the difference that operations are patched otherwise.
func PatchDiff() Difference {
	return Difference{comparison: PatchesDiffer, from: anything, to: anything, limit: -1}
}

const anything = "*"

// On narrows the difference to those that a binding brings about, told by its
// id, by the name of its interceptor, or by both as "interceptor/id".
func (d Difference) On(binding string) Difference {
	d.binding = binding
	return d
}

// Max bounds the number of operations.
func (d Difference) Max(n int) Difference {
	d.limit = n
	return d
}

// takes says whether the difference is of the group's kind.
func (d *Difference) takes(g *Group) bool {
	return d.comparison == g.Comparison &&
		(d.from == anything || d.from == g.From) && (d.to == anything || d.to == g.To) &&
		(d.binding == "" || d.binding == g.Interceptor || d.binding == g.Binding || d.binding == g.Interceptor+"/"+g.Binding)
}
