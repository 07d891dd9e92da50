// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// planned makes commits of two gateways that say of their plans what they like, by
// clocks that are set back.
func planned(t *testing.T, random *rand.Rand) (all []store.Batch) {
	t.Helper()
	epochs := map[[2]string]*storetest.Epoch{}
	now := storetest.Start
	for range 4 {
		var b store.Batch
		for range 20 {
			now += []int64{1, 1000, 50_000, 4_000_000, -30_000}[random.IntN(5)]
			name := [2]string{[]string{"gw-0", `o'hare"\`}[random.IntN(2)], []string{profile.TenantDocket, "acme", "globex"}[random.IntN(3)]}
			e := epochs[name]
			if e == nil {
				e = storetest.NewEpoch(t, name[1], name[0])
				epochs[name] = e
			}
			e.Time = now
			digest := []string{planDigest, otherDigest}[random.IntN(2)]
			switch do := random.IntN(3); {
			case name[1] != profile.TenantDocket || do == 0:
				b.Entries = append(b.Entries, e.Seal(judgedBy(digest)))
			case do == 1:
				b.Entries = append(b.Entries, e.Seal(activation(digest)))
			default:
				b.Entries = append(b.Entries, e.Stop())
				delete(epochs, name)
			}
		}
		all = append(all, b)
	}
	return all
}

// plansAlike compares what is told of plans by SQL and by a scan, to whoever may see
// some tenants.
func plansAlike(t *testing.T, seed uint64, inSQL, scan *serve.Server, asked *atomic.Int64) {
	t.Helper()
	for _, ask := range []struct {
		prefix  string
		gateway string
	}{{"/", ""}, {"/", `o'hare"\`}, {"acme", "gw-0"}} {
		g := &authz.Grant{Subject: "someone", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{profile.TenantDocket, ask.prefix}}
		before := asked.Load()
		q := &auditv1.ListPlansRequest{Gateway: ask.gateway}
		told, err := inSQL.Client(g, "inside").ListPlans(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if asked.Load() == before {
			t.Fatal("the engine was not asked")
		}
		scanned, err := scan.Client(g, "inside").ListPlans(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(scanned, told, protocmp.Transform()); diff != "" || len(told.GetPlans()) < 3 {
			t.Errorf("seed %d: %+v: %d (-scan +SQL):\n%s", seed, ask, len(told.GetPlans()), diff)
		}
	}
}
