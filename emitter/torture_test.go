// SPDX-License-Identifier: Apache-2.0

//go:build torture

package emitter

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var tortureFor = flag.Duration("torture.for", time.Hour, "how long TestTorture goes on")

// leastKills is how many lives end by SIGKILL, however short the time is.
const leastKills = 500

// TestTorture cuts the power, changes and cuts off at every byte, and then is
// TestCrashes without end, a round of lives after the other on new directories:
// `make torture FOR=1h`.
func TestTorture(t *testing.T) {
	fmt.Printf("seed %d (-seed)\n", *seed)
	end := time.Now().Add(*tortureFor)
	t.Run("power-cuts", func(t *testing.T) {
		t.Logf("%d cuts, each write torn at every byte", powerCuts(t, dice(t, 20), 1, 20))
	})
	t.Run("flips", func(t *testing.T) { everyFlip(t, dice(t, 22), 1) })
	t.Run("truncations", func(t *testing.T) { everyTruncation(t, dice(t, 23), 1) })
	t.Run("damage", func(t *testing.T) { randomDamage(t, dice(t, 21), 2000) })
	t.Run("faults", func(t *testing.T) {
		down = time.Minute
		TestFaultMatrix(t)
	})
	t.Run("purged", TestPurgedIsSentAgain)
	t.Run("stall", func(t *testing.T) { stalledBroker(t, 1_000_000) })
	kills, before := 0, -1
	for round := uint64(1); kills > before && (kills < leastKills || time.Now().Before(end)); round++ {
		before = kills // no more of them when -run leaves the rounds out
		if !t.Run(fmt.Sprint("round-", round), func(t *testing.T) {
			c := newCampaign(t, dice(t, 100+round))
			for _, i := range c.rng.Perm(4 * len(places)) {
				c.kill(places[i%len(places)])
				c.random()
			}
			c.judge()
			kills += c.killed
		}) {
			return
		}
	}
	t.Logf("%d kills", kills)
}
