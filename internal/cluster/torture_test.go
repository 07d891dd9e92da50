// SPDX-License-Identifier: Apache-2.0

//go:build e2e && torture

package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/natstest"
)

var tortureFor = flag.Duration("torture.for", time.Hour, "how long TestTorture goes on")

// TestTorture is TestClusterFaults without end, on one new cluster after the other:
// by turns on servers that elect as soon as there, and as late as they do by
// default. `make torture FOR=1h`.
func TestTorture(t *testing.T) {
	fmt.Printf("seed %d (-seed)\n", *seed)
	end := time.Now().Add(*tortureFor)
	faulty := 0
	for round := uint64(1); time.Now().Before(end); round++ {
		var opts []natstest.ClusterOption
		if round%2 == 1 {
			opts = append(opts, natstest.Heartbeat(*heartbeat))
		}
		if !t.Run(fmt.Sprint("cluster-", round), func(t *testing.T) {
			campaign(t, rand.New(rand.NewPCG(*seed, 1+round)), *rounds, opts...)
		}) {
			return
		}
		faulty += *rounds
	}
	t.Logf("%d faults", faulty)
}
