// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package serve_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// The engine tells of plans what a scan does, whatever of the gateways' own words
// is there and however their clocks went, and to whoever may see some tenants.
func TestPlansInSQLAreThoseOfAScan(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newCountedLake(t)
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
			if _, err := c.commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		for _, ask := range []struct {
			prefix  string
			gateway string
		}{{"/", ""}, {"/", `o'hare"\`}, {"acme", "gw-0"}} {
			g := &authz.Grant{Subject: "someone", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{profile.TenantDocket, ask.prefix}}
			before := c.asked.Load()
			q := &auditv1.ListPlansRequest{Gateway: ask.gateway}
			told, err := c.sql.Client(g, "inside").ListPlans(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if c.asked.Load() == before {
				t.Fatal("the engine was not asked")
			}
			scanned, err := c.scan.Client(g, "inside").ListPlans(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(scanned, told, protocmp.Transform()); diff != "" || len(told.GetPlans()) < 3 {
				t.Errorf("seed %d: %+v: %d (-scan +SQL):\n%s", seed, ask, len(told.GetPlans()), diff)
			}
		}
	}
}

// A gateway that was reloaded often makes a long statement, which is answered all the
// same; one of more than a statement may have is scanned.
func TestManyReloadsInSQL(t *testing.T) {
	for _, reloads := range []int{800, 1500} {
		c := newCountedLake(t)
		gateway := storetest.NewEpoch(t, profile.TenantDocket, "gw-0")
		var b store.Batch
		for n := range reloads {
			gateway.Time = storetest.Start + int64(n)*1000
			digest := []string{planDigest, otherDigest}[n%2]
			b.Entries = append(b.Entries, gateway.Seal(activation(digest)), gateway.Seal(judgedBy(digest)))
		}
		if _, err := c.commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		got, err := c.sql.Client(grants["admin"], "inside").ListPlans(t.Context(), &auditv1.ListPlansRequest{})
		if err != nil || len(got.GetPlans()) != reloads {
			t.Errorf("%d reloads: %d periods: %v", reloads, len(got.GetPlans()), err)
		}
		if asked := c.asked.Load() > 0; asked != (reloads < 1000) {
			t.Errorf("%d reloads: the engine was asked: %t", reloads, asked)
		}
	}
}
