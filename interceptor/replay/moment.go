// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// An Origin is where an answer in a replay comes from.
type Origin string

// The origins.
const (
	Linked     Origin = "linked"  // an implementation in this process
	Dialled    Origin = "dialled" // a service, asked over gRPC
	FromRecord Origin = "record"  // what was answered then
	Nowhere    Origin = ""        // nobody could answer
)

// A Moment is a binding about to be called in a replay, or, with Answered, just
// after it.
type Moment struct {
	Operation  *activity.Operation
	Evaluation *interceptor.Evaluation // with what the binding is shown now
	Shadow     bool
	Then       *activity.Evaluation // of the record; nil when the binding was not called

	Answered bool
	Result   *interceptor.Result // as the binding gave it, before the chain judges it
	Err      error               // instead of a Result; often an [*interceptor.Failure]
	From     Origin
}

// Observe calls f right before and right after each call of a binding, in the
// goroutine that makes the call: what f takes, the replay waits for. An error
// ends the replay, which returns it. There is one worker.
func Observe(f func(context.Context, *Moment) error) Option {
	return func(o *options) { o.observe = f }
}
