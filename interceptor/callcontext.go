// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"sync/atomic"
	"time"
)

// A callContext is the context of one call. It ends with the walk's, at the
// call's deadline and when the call returns, but carries none of the walk's
// values: the caller's metadata, with its credentials, is not a binding's to
// see or to pass on.
//
// An interceptor in process that never looks costs no timer.
type callContext struct {
	parent   context.Context
	deadline time.Time
	made     atomic.Pointer[madeContext] // nil until somebody asks, or the call ends
}

// A madeContext is one that package context made: what is made from it follows its
// end without a goroutine.
type madeContext struct {
	context.Context
	cancel context.CancelFunc
}

// past stands for the context of a call that ended before anybody asked.
var past = new(madeContext)

// real returns the context, which is made when it is first asked for.
func (c *callContext) real() context.Context {
	for {
		before := c.made.Load()
		if before != nil && before != past {
			return before.Context
		}
		ctx, cancel := context.WithDeadline(ending{c.parent}, c.deadline)
		if before == past {
			cancel()
		}
		if c.made.CompareAndSwap(before, &madeContext{ctx, cancel}) {
			return ctx
		}
		cancel()
	}
}

func (c *callContext) end() {
	if !c.made.CompareAndSwap(nil, past) {
		if made := c.made.Load(); made != past {
			made.cancel()
		}
	}
}

// An ending is of a context no more than when it ends.
type ending struct{ context.Context }

// Value implements [context.Context].
func (ending) Value(any) any { return nil }

// AfterFunc lets a context made from this one follow its end without a
// goroutine; package context looks for it.
func (e ending) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(e.Context, f) }

// Deadline implements [context.Context].
func (c *callContext) Deadline() (time.Time, bool) { return c.real().Deadline() }

// Done implements [context.Context].
func (c *callContext) Done() <-chan struct{} { return c.real().Done() }

// Err implements [context.Context].
func (c *callContext) Err() error { return c.real().Err() }

// Value implements [context.Context].
func (c *callContext) Value(any) any { return nil }

// AfterFunc lets a context made from this one follow its end without a
// goroutine; package context looks for it.
func (c *callContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.real(), f) }
