// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
)

// Whoever is known is told of, each time. Of nobody who asks without end a bounded
// number is, and how many there were: none is lost.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // the minute ends in a goroutine of its own
		var told []serve.Access
		s := newStrangers(func(_ context.Context, a serve.Access) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, a)
		}, time.Now)
		stands := func() (requests int64) {
			for _, a := range told {
				requests += max(a.Count, 1)
			}
			return requests
		}
		ask := func(n int, peer string, g *authz.Grant) {
			for range n {
				s.accessed(t.Context(), serve.Access{Grant: g, Peer: peer, Method: "unknown", Start: time.Now()})
			}
		}
		ask(1000, "192.0.2.1:1", authz.Trusted("ann", authz.ByToken))
		if len(told) != 1000 {
			t.Fatalf("%d told of 1000 of somebody", len(told))
		}
		told = nil
		began := time.Now()
		time.Sleep(time.Second)
		ask(5000, "192.0.2.1:1", nil)
		ask(10, "192.0.2.2:1", nil)
		if len(told) != eachOfStranger+10 {
			t.Errorf("%d told at once", len(told))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		sum := told[len(told)-1]
		if len(told) != eachOfStranger+11 || stands() != 5010 || sum.Count != 5000-eachOfStranger || sum.Peer != "192.0.2.1:1" || sum.Start.Before(began) {
			t.Errorf("%d told, of %d requests; the last %+v", len(told), stands(), sum)
		}

		// Many addresses, of which each asks little, are bounded too, and in memory.
		told = nil
		for i := range 4 * maxStrangers {
			ask(1, fmt.Sprintf("[2001:db8:%x:%x::1]:1", i/256, i%256), nil)
		}
		if len(told) != eachOfStrangers || len(s.of) > maxStrangers+1 {
			t.Errorf("%d told at once of %d addresses", len(told), len(s.of))
		}
		s.close()
		if stands() != 4*maxStrangers {
			t.Errorf("%d of %d requests are told of", stands(), 4*maxStrangers)
		}
		// Nothing is held back behind the end.
		n := len(told)
		ask(100, "192.0.2.1:1", nil)
		if len(told) != n+100 {
			t.Errorf("%d told behind the end", len(told)-n)
		}
		a := sum
		if e := a.Event("x"); e.Count == nil || *e.Count != sum.Count || e.Message == "" {
			t.Errorf("event %+v", e)
		}
	})
}
