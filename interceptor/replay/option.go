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
	allowed         []Difference
	minExecuted     float64
	maxUnreplayable float64
	golden          string // file
}

const (
	defaultMinExecuted     = 0.9
	defaultMaxUnreplayable = 0.1
)

func newOptions(opts []Option) options {
	o := options{minExecuted: defaultMinExecuted, maxUnreplayable: defaultMaxUnreplayable, workers: 1}
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
// compares. It is called in a goroutine of the replay, which MUST NOT be ended: in a
// test with t.Errorf, not with t.Fatalf.
func Each(f func(Diff)) Option { return func(o *options) { o.each = f } }

// Checkpoint calls save with the report so far, whenever so many more operations
// were replayed. An error of save ends the replay. See [Resume].
func Checkpoint(every int, save func(*Report) error) Option {
	return func(o *options) { o.every, o.checkpoint = max(every, 1), save }
}

// Resume goes on with a replay of which a [Checkpoint] was saved: over the same
// history and with the same options, the operations that are in report are read,
// but not replayed again. A report that does not add up is refused, with [ErrUnsound].
func Resume(report *Report) Option { return func(o *options) { o.resumed = report } }

// MinExecuted sets the share of the candidate's evaluations that a [Test] wants
// re-executed, from 0 to 1; default 0.9. A test whose bindings are all answered
// from the record has tested nothing.
func MinExecuted(share float64) Option { return func(o *options) { o.minExecuted = share } }

// MaxUnreplayable sets the share of operations, from 0 to 1, of which a [Test]
// takes that they cannot be replayed; default 0.1.
func MaxUnreplayable(share float64) Option { return func(o *options) { o.maxUnreplayable = share } }
