// SPDX-License-Identifier: Apache-2.0

//go:build torture

package follow

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var tortureFor = flag.Duration("torture.for", time.Hour, "how long TestTorture goes on")

// TestTorture has 100,000 events flow to fifty subscribers, one of which stands
// still and one comes back about every second, and then draws the state machine
// until the time is over: `make torture FOR=1h`.
func TestTorture(t *testing.T) {
	end := time.Now().Add(*tortureFor)
	t.Run("crowd", func(t *testing.T) { followCrowd(t, 100_000, 10_000) })
	if err := flag.Set("rapid.checks", "20000"); err != nil {
		t.Fatal(err)
	}
	for round, drawn := 1, 0; drawn == round-1 && (round == 1 || time.Now().Before(end)); round++ {
		ok := t.Run(fmt.Sprint("machine-", round), func(t *testing.T) {
			drawn++ // no more of them when -run leaves them out
			TestMachine(t)
		})
		if !ok {
			return
		}
	}
}
