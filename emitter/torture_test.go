// SPDX-License-Identifier: Apache-2.0

//go:build torture

package emitter

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var tortureFor = flag.Duration("torture.for", time.Hour, "how long TestTorture goes on")

// TestTorture is TestCrashes without end: `make torture FOR=1h`.
func TestTorture(t *testing.T) {
	end := time.Now().Add(*tortureFor)
	for round := 1; time.Now().Before(end); round++ {
		seed := rand.Uint64()
		if !t.Run(fmt.Sprint("round-", round), func(t *testing.T) {
			t.Logf("seed %d", seed)
			torture(t, rand.New(rand.NewPCG(seed, 0)), func(lives int) bool { return lives < 60 && time.Now().Before(end) })
		}) {
			return
		}
	}
}
