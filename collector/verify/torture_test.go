// SPDX-License-Identifier: Apache-2.0

//go:build torture

package verify

import (
	"flag"
	"testing"
	"time"
)

var tortureFor = flag.Duration("torture.for", time.Hour, "how long TestTorture goes on")

// leastClean is how many clean directories there are, however short the time is.
const leastClean = 10_000

// TestTorture changes every bit of a small directory, cuts each of its files off at
// every byte, and then makes clean directories without end, of which none may be
// found to be damaged: `make torture FOR=1h`.
func TestTorture(t *testing.T) {
	end := time.Now().Add(*tortureFor)
	t.Run("bits", func(t *testing.T) { flips(t, tamperDice(t, 20), 1, 8) })
	t.Run("truncations", func(t *testing.T) { truncations(t, tamperDice(t, 21), 1) })
	t.Run("cells", func(t *testing.T) { everyLeaf(t, 0, 1) })
	n := 0
	for ; !t.Failed() && (n < leastClean || time.Now().Before(end)); n += 100 {
		cleans(t, 1000+n, 100)
	}
	t.Logf("%d clean directories", n)
}
