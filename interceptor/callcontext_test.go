// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
)

// The context of a call is over when the call is, whoever asks for it first, and
// whether that is before or after.
func TestTheContextOfACall(t *testing.T) {
	type secret struct{}
	synctest.Test(t, func(t *testing.T) {
		caller, cancel := context.WithCancel(context.WithValue(t.Context(), secret{}, "credential"))
		defer cancel()
		for name, tc := range map[string]struct {
			within func(context.Context) // the call
			err    error                 // afterwards
			stays  bool                  // the call does not come back in time
		}{
			"nobody asks":        {within: func(context.Context) {}, err: context.Canceled},
			"asked in the call":  {within: func(ctx context.Context) { ctx.Deadline() }, err: context.Canceled},
			"derived":            {within: func(ctx context.Context) { _, stop := context.WithCancel(ctx); stop() }, err: context.Canceled},
			"waited for its end": {within: func(ctx context.Context) { <-ctx.Done() }, err: context.DeadlineExceeded},
			"left behind":        {within: func(context.Context) { time.Sleep(2 * time.Hour) }, err: context.DeadlineExceeded, stays: true},
		} {
			given := make(chan context.Context, 1)
			began := time.Now()
			b := bind("b", interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
				given <- ctx
				tc.within(ctx)
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			}))
			b.Timeout = time.Hour
			start(t, planOf(b), interceptor.Discard).Run(caller, operation(), (&handler{}).handle)
			if tc.stays { // as long as its call lasts
				time.Sleep(2 * time.Hour)
			}
			kept := <-given
			var ask sync.WaitGroup // all at once
			for range 8 {
				ask.Go(func() {
					if deadline, ok := kept.Deadline(); !ok || !deadline.Equal(began.Add(time.Hour)) || kept.Value(secret{}) != nil {
						t.Errorf("%s: deadline %s, began %s, value %v", name, deadline, began, kept.Value(secret{}))
					}
					<-kept.Done()
				})
			}
			ask.Wait()
			if err := kept.Err(); !errors.Is(err, tc.err) {
				t.Errorf("%s: afterwards %v", name, err)
			}
		}
	})
}
