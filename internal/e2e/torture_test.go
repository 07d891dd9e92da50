// SPDX-License-Identifier: Apache-2.0

//go:build e2e && torture

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var tortureFor = flag.Duration("torture.for", time.Hour, "how long TestTorture goes on")

// TestTorture is TestKill and TestRoad without end, each round of twenty kills and
// of a hundred lives on new directories: `make torture FOR=1h`.
func TestTorture(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(*seed), 2))
	end := time.Now().Add(*tortureFor)
	for round := 1; time.Now().Before(end); round++ {
		// Not t.TempDir: what a failure left behind is worth keeping.
		dir, err := os.MkdirTemp("", "docket-torture-")
		if err != nil {
			t.Fatal(err)
		}
		if !t.Run(fmt.Sprint("round-", round), func(t *testing.T) { killLoop(t, dir, rng, 20) }) {
			t.Fatalf("kept: %s", dir)
		}
		os.RemoveAll(dir)
		if !t.Run(fmt.Sprint("road-", round), func(t *testing.T) { underFire(t, rng, 100) }) {
			return
		}
	}
}
