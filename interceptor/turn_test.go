// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
)

// Facts say how long a call waited for its turn, and whether that never came.
func TestFactsTellOfTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bind("b", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			time.Sleep(40 * time.Second) // whoever waits for it
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}))
		b.MaxConcurrent, b.MaxQueue, b.Timeout = 1, 2, time.Minute
		rec, h := &memory{}, &handler{}
		chain := start(t, planOf(b), rec)
		var under sync.WaitGroup
		for range 4 { // one is called, two wait, the last is refused
			under.Go(func() { chain.Run(t.Context(), operation(), h.handle) })
			synctest.Wait()
		}
		under.Wait()
		var got []string
		for _, f := range rec.facts {
			switch {
			case f.Failure != nil:
				got = append(got, fmt.Sprint(f.Failure.Kind, " ", f.Waited, " ", f.Uncalled))
			case f.Result != nil:
				got = append(got, fmt.Sprint("result ", f.Waited, " ", f.Uncalled))
			case f.Waited != 0 || f.Uncalled:
				t.Errorf("fact %+v", f)
			}
		}
		slices.Sort(got) // two of them end at once
		// The second had a third of its time left when it was called.
		if diff := cmp.Diff([]string{"limit 0s true", "limit 1m0s true", "result 0s false", "timeout 40s false"}, got); diff != "" {
			t.Errorf("ends (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute) // the calls that were left behind end
	})
}
