// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
)

// spying is a recorder that does something when it is told of an evaluation.
type spying struct {
	memory
	do func()
}

func (s *spying) Record(f interceptor.Fact) {
	s.memory.Record(f)
	if f.Evaluation != nil && f.Result == nil && f.Failure == nil {
		s.do()
	}
}

// The caller may leave at any moment up to the handler: it does not run, whatever
// was allowed or fails open, and nothing stays taken.
func TestTheCallerLeavesAtAnyMoment(t *testing.T) {
	for name, tc := range map[string]struct {
		recorded bool // it leaves when a call is recorded, before that begins; else in the call
		heeds    bool
		story    string
	}{
		"before a call":                   {true, false, "b? b:cancelled=deny outcome:deny"},
		"before a call of one that heeds": {true, true, "b? b:cancelled=deny outcome:deny"},
		// The answer and the end come at once: either may be seen first.
		"in a call":                   {false, false, "b? b:cancelled=deny outcome:deny|b? b:allow outcome:deny"},
		"in a call of one that heeds": {false, true, "b? b:allow outcome:deny"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		leave := func(at bool) {
			if at == tc.recorded {
				cancel()
			}
		}
		called := 0
		b := bind("b", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			called++
			leave(false)
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}))
		if tc.heeds {
			b.Impl = heedful{b.Impl}
		}
		b.FailurePolicy, b.MaxConcurrent, b.MaxQueue, b.Timeout = interceptor.FailOpen, 1, 1, time.Minute
		rec, h := &spying{do: func() { leave(true) }}, &handler{}
		chain := start(t, planOf(b), rec)
		out := chain.Run(ctx, operation(), h.handle)
		cancel()
		if h.calls != 0 || out.Ran || out.Decision != interceptor.Deny || out.Status.Code() != codes.Canceled || out.By != nil || out.Reason != "the caller went away" {
			t.Errorf("%s: handler called %d times, outcome %+v", name, h.calls, out)
		}
		if story := strings.Join(rec.story(), " "); !strings.Contains("|"+tc.story+"|", "|"+story+"|") {
			t.Errorf("%s: %s", name, story)
		}
		if tc.recorded != (called == 0) {
			t.Errorf("%s: the interceptor was called %d times", name, called)
		}
		// The one slot of its lane is free for the next operation.
		tc.recorded = !tc.recorded
		if out := chain.Run(t.Context(), operation(), h.handle); out.Decision != interceptor.Allow {
			t.Errorf("%s: the next operation: %s", name, out.Reason)
		}
	}
}

// So it is where nobody records and nothing is waited for.
func TestTheCallerLeavesUnrecorded(t *testing.T) {
	for name, heed := range map[string]bool{"one that heeds": true, "one that promises nothing": false} {
		ctx, cancel := context.WithCancel(t.Context())
		b := bind("b", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			cancel()
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}))
		if heed {
			b.Impl = heedful{b.Impl}
		}
		h := &handler{}
		out := start(t, planOf(b), interceptor.Discard).Run(ctx, operation(), h.handle)
		if h.calls != 0 || out.Ran || out.Status.Code() != codes.Canceled {
			t.Errorf("%s: handler called %d times, outcome %+v", name, h.calls, out)
		}
	}
}

// A call has all of its time from when it begins, by the true clock: however long
// its recording took, and whatever the chain's clock says.
func TestADeadlineBeginsWithTheCall(t *testing.T) {
	for name, rec := range map[string]interceptor.Recorder{"nobody": interceptor.Discard, "a recorder that takes its time": &spying{do: func() { time.Sleep(time.Hour) }}} {
		for clock, now := range map[string]func() time.Time{"none": nil, "another": func() time.Time { return time.Unix(1, 0) }} {
			t.Run(fmt.Sprintf("%s, clock: %s", name, clock), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var left []time.Duration
					look := interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
						deadline, _ := ctx.Deadline()
						left = append(left, time.Until(deadline))
						time.Sleep(time.Second / 2)
						return &interceptor.Result{Decision: interceptor.Allow}, nil
					})
					a, b, c := bind("a", look), bind("b", heedful{look}), bind("c", look, interceptor.PostCommit)
					a.Timeout, b.Timeout, c.Timeout = time.Second, 2*time.Second, 3*time.Second
					h := &handler{}
					chain := start(t, planOf(b, a, c), rec)
					chain.Now = now
					out := chain.Run(t.Context(), operation(), h.handle)
					if err := chain.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]time.Duration{2 * time.Second, time.Second, 3 * time.Second}, left); diff != "" || out.Decision != interceptor.Allow {
						t.Errorf("decision %s (%s), time left: %s", out.Decision, out.Reason, diff)
					}
				})
			})
		}
	}
}

// A handler whose request a call that was left behind may still read is given
// one of its own.
func TestAHandlerBesideAStrayCall(t *testing.T) {
	for _, stray := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := bind("b", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				if stray {
					time.Sleep(time.Minute)
				}
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			}))
			b.FailurePolicy, b.Timeout = interceptor.FailOpen, time.Second
			rec, h, op := &memory{}, &handler{}, operation()
			out := start(t, planOf(b), rec).Run(t.Context(), op, h.handle)
			if own := h.given != op.Request; own != stray || !proto.Equal(h.given, op.Request) || out.Request != op.Request {
				t.Errorf("a call was left behind: %t; the handler was given its own request: %t", stray, own)
			}
		})
	}
}
