// SPDX-License-Identifier: Apache-2.0

package interceptor

import "context"

// A Recorder is told every fact of an operation, in order, before the chain
// acts on it. It is called from many goroutines at once, for one operation
// from one at a time.
//
// Each operation has one Outcome, and each Evaluation that it was told of one
// end, also when something panics. If bindings of post_commit follow, the last
// that is told of them is the end of the one whose Index is Count-1.
type Recorder interface {
	// Record takes a fact. It MUST NOT block, and MUST NOT keep what the fact
	// points to after it returns.
	Record(Fact)

	// Barrier returns nil when all facts of the operation so far are durable,
	// else why they are not. It MUST return soon after ctx ends. Of each
	// operation whose Durable is set the chain calls it before the handler, and
	// once more after the Outcome was recorded; only the latter when there were
	// no facts before the handler, or when they denied. After the latter the
	// Recorder may forget the operation; facts of post_commit, which follow, are
	// not waited for, and the Operation that comes with them is not Durable.
	Barrier(ctx context.Context, operation UID) error
}

// Discard is the Recorder of a chain that nobody records.
var Discard Recorder = discard{}

type discard struct{}

func (discard) Record(Fact)                        {}
func (discard) Barrier(context.Context, UID) error { return nil }
