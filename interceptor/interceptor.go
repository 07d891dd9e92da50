// SPDX-License-Identifier: Apache-2.0

package interceptor

import "context"

// An Interceptor judges operations. Its methods are called from many
// goroutines at once. One that also has a method HeedsContext() bool which
// returns true is taken at its word: Run waits for its Evaluate.
type Interceptor interface {
	// Describe says what the interceptor wants to be called for.
	Describe(ctx context.Context) (*Manifest, error)

	// Evaluate judges one evaluation. It MUST NOT change it, and may keep it. An
	// error is a [Failure]; ctx ends at the binding's timeout.
	Evaluate(ctx context.Context, e *Evaluation) (*Result, error)
}

// A Manifest is an interceptor's own description. Of each Binding it sets ID,
// RPCs, Phases and, if it has a wish, the failure policies; the rest is the
// operator's.
type Manifest struct {
	Name          string
	Bindings      []Binding
	FailurePolicy FailurePolicy // zero: no wish
	Audience      string        // expected audience of the caller's token; "" is any
}

// heeding is implemented by an interceptor that can promise that its Evaluate
// returns as soon as its context ends, whatever else happens. Such a one is called
// on the goroutine that called Run, which spares it two changes of goroutines.
type heeding interface{ HeedsContext() bool }

func heeds(i Interceptor) (heeds bool) {
	h, ok := i.(heeding)
	if !ok {
		return false
	}
	defer func() {
		if recover() != nil {
			heeds = false // who panics when asked is trusted with nothing
		}
	}()
	return h.HeedsContext()
}

// Func is an Interceptor that describes itself as one binding, whose id is
// "func", for every method in modify_operation and validate.
type Func func(ctx context.Context, e *Evaluation) (*Result, error)

// Describe implements [Interceptor].
func (f Func) Describe(context.Context) (*Manifest, error) {
	return &Manifest{Name: "func", Bindings: []Binding{{ID: "func", Phases: []Phase{ModifyOperation, Validate}}}}, nil
}

// Evaluate implements [Interceptor].
func (f Func) Evaluate(ctx context.Context, e *Evaluation) (*Result, error) { return f(ctx, e) }
