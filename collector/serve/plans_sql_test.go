// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package serve_test

import (
	"math/rand/v2"
	"testing"

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
		for _, b := range planned(t, random) {
			if _, err := c.commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		plansAlike(t, seed, c.sql, c.scan, &c.asked)
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
