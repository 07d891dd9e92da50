// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package collector

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestRedeliveryStorms is TestRedeliveryStorm at more places, and with more to
// store in each life.
func TestRedeliveryStorms(t *testing.T) {
	t.Logf("seed %d (-storm.seed)", *stormSeed)
	for round := range uint64(10) {
		t.Run(fmt.Sprint("storm-", round), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(*stormSeed, 2+round))
			newStorm(t, rng, 1+rng.IntN(20)).run(4 + rng.IntN(16))
		})
	}
}
