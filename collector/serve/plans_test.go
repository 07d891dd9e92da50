// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

const otherDigest = "00000000000000000000000000000000000000000000000000000000000000bb"

func namingPlan(digest string) map[string]any {
	return map[string]any{profile.Unmapped: map[string]any{"plan": "sha256:" + digest}}
}

func activation(digest string) ocsf.Event {
	return &ocsf.EntityManagement{
		ActivityID: ocsf.EntityManagementActivate,
		Base:       ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}, Unmapped: namingPlan(digest)},
	}
}

func judgedBy(digest string) ocsf.Event {
	return &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		Base: ocsf.Base{
			Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, CorrelationUID: storetest.NewUID()}, Unmapped: namingPlan(digest),
			API: &ocsf.API{Operation: "Create", Service: &ocsf.Service{Name: "acme.v1.Things"}}, Actor: &ocsf.Actor{AppName: "app"},
		},
	}
}

func TestListPlans(t *testing.T) {
	m := newShelf()
	gateway, acme := storetest.NewEpoch(t, profile.TenantDocket, "gw-0"), storetest.NewEpoch(t, "acme", "gw-1")
	entries := []store.Entry{gateway.Start(), gateway.Seal(activation(planDigest)), gateway.Seal(activation(otherDigest)), gateway.Stop(), acme.Seal(judgedBy(otherDigest))}
	m.put(t, entries...)
	kept := func(context.Context) ([]string, error) { return []string{planDigest, strings.Repeat("c", 64)}, nil }
	s := start(t, m, func(c *serve.Config) { c.Query, c.Plans = nil, kept })
	at := func(n int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(storetest.Start + n)) }
	first := &auditv1.PlanInForce{Digest: "sha256:" + planDigest, Gateway: "gw-0", From: at(1), Until: at(2), Began: "activated", Ended: "replaced", Event: entries[1].Header.MetadataUID, Kept: true, Bindings: 1}
	second := &auditv1.PlanInForce{Digest: "sha256:" + otherDigest, Gateway: "gw-0", From: at(2), Until: at(3), Began: "activated", Ended: "stopped", Event: entries[2].Header.MetadataUID}
	judged := &auditv1.PlanInForce{Digest: "sha256:" + otherDigest, Gateway: "gw-1", From: at(0), Began: "operation", Event: entries[4].Header.MetadataUID}
	untold := &auditv1.PlanInForce{Digest: "sha256:" + strings.Repeat("c", 64)}
	for name, c := range map[string]struct {
		prefixes []string
		q        *auditv1.ListPlansRequest
		want     []*auditv1.PlanInForce
		err      error // that the answer is
	}{
		"all":                         {[]string{"/"}, &auditv1.ListPlansRequest{}, []*auditv1.PlanInForce{first, second, judged, untold}, nil},
		"a gateway":                   {[]string{"/"}, &auditv1.ListPlansRequest{Gateway: "gw-1"}, []*auditv1.PlanInForce{judged}, nil},
		"a span":                      {[]string{"/"}, &auditv1.ListPlansRequest{Since: at(1), Until: at(2)}, []*auditv1.PlanInForce{first, judged}, nil},
		"others' operations":          {[]string{"docket"}, &auditv1.ListPlansRequest{}, []*auditv1.PlanInForce{first, second, untold}, nil},
		"plans are not the tenants'":  {[]string{"acme"}, &auditv1.ListPlansRequest{}, nil, authz.ErrDenied},
		"until is before since":       {[]string{"/"}, &auditv1.ListPlansRequest{Since: at(2), Until: at(1)}, nil, serve.ErrInvalid},
		"a gateway that is not there": {[]string{"/"}, &auditv1.ListPlansRequest{Gateway: "gw\x00"}, nil, nil},
	} {
		g := &authz.Grant{Subject: name, By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: c.prefixes}
		got, err := s.Client(g, "directory").ListPlans(t.Context(), c.q)
		var remote *serve.RemoteError
		code := map[error]string{authz.ErrDenied: "permission_denied", serve.ErrInvalid: "invalid_argument"}[c.err]
		if errors.As(serve.FromStatus(err), &remote); (remote == nil) != (code == "") || remote != nil && remote.Code != code {
			t.Errorf("%s: %v, want %q", name, err, code)
			continue
		}
		if diff := cmp.Diff(c.want, got.GetPlans(), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// In REST, as it is for whoever has no client of ours.
	a := s.do(t, "admin", http.MethodGet, "/v1/plans?gateway=gw-1", "")
	var rest auditv1.ListPlansResponse
	if err := protojson.Unmarshal([]byte(a.body), &rest); err != nil || a.status != http.StatusOK || !strings.Contains(a.body, `"from":"2026-10-28T`) {
		t.Errorf("in REST: %d %s: %v", a.status, a.body, err)
	}
	if diff := cmp.Diff([]*auditv1.PlanInForce{judged}, rest.GetPlans(), protocmp.Transform()); diff != "" {
		t.Errorf("in REST (-want +got):\n%s", diff)
	}
}

// A plan that is damaged is listed all the same: `docket verify` tells of it.
func TestListDamagedPlan(t *testing.T) {
	m := newShelf()
	gateway := storetest.NewEpoch(t, profile.TenantDocket, "gw-0")
	m.put(t, gateway.Seal(activation(planDigest)))
	s := start(t, m, func(c *serve.Config) {
		c.Query, c.Plan = nil, func(context.Context, string) ([]byte, error) { return []byte(planJSON[:9]), nil }
	})
	got, err := s.Client(grants["admin"], "directory").ListPlans(t.Context(), &auditv1.ListPlansRequest{})
	if err != nil || len(got.GetPlans()) != 1 || !got.GetPlans()[0].GetKept() || got.GetPlans()[0].GetBindings() != 0 {
		t.Errorf("%v: %v", got, err)
	}
}
