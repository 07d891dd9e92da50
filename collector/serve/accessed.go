// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// Event returns the access as an event: API Activity of the tenant "docket",
// because what is read may be of many. uid is that of the request.
func (a *Access) Event(uid string) *ocsf.APIActivity {
	s, _ := status.FromError(toStatus(a.Err))
	ms := a.Duration.Milliseconds()
	door := map[string]any{"door": legible(a.Door)}
	who := "unknown"
	if a.Grant != nil {
		who = cmp.Or(legible(a.Grant.Subject), who)
		door["by"] = legible(a.Grant.By)
		if a.Grant.Issuer != "" {
			door["issuer"] = legible(a.Grant.Issuer)
		}
	}
	e := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityRead, StatusID: ocsf.StatusSuccess, SrcEndpoint: endpoint(a.Peer),
		Base: ocsf.Base{
			Time: a.Start.Add(a.Duration).UnixMilli(), StartTime: a.Start.UnixMilli(), EndTime: a.Start.Add(a.Duration).UnixMilli(), Duration: &ms,
			SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionAllowed, DispositionID: ocsf.DispositionAllowed,
			StatusCode: strings.ToUpper(codeName(s.Code())), Message: a.message(),
			Metadata: ocsf.Metadata{EventCode: profile.KindAccess, TenantUID: profile.TenantDocket, Profiles: []string{"security_control"}},
			Actor:    &ocsf.Actor{User: &ocsf.User{UID: who}},
			API: &ocsf.API{
				Operation: legible(a.Method), Service: &ocsf.Service{Name: auditv1.AuditService_ServiceDesc.ServiceName},
				Request: &ocsf.Request{UID: uid, Data: map[string]any{"request": legible(a.Request)}},
			},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"access": door, "rows": a.Rows}},
		},
	}
	if a.Count > 0 {
		e.Count = &a.Count
	}
	switch code := s.Code(); {
	case code == codes.OK, code == codes.Canceled && a.Grant != nil: // who has seen enough goes away; nobody was let in
	case a.Rows == 0 && (a.Grant == nil || code == codes.Unauthenticated || code == codes.PermissionDenied): // else it ended early
		e.StatusID, e.SeverityID = ocsf.StatusFailure, ocsf.SeverityLow
		e.ActionID, e.DispositionID = ocsf.ActionDenied, ocsf.DispositionUnauthorized
		e.StatusDetail = legible(cut(s.Message(), maxText))
	default:
		e.StatusID, e.StatusDetail = ocsf.StatusFailure, legible(cut(s.Message(), maxText))
	}
	return e
}

// legible makes text of what callers send: an event with anything else in it is
// none, and nobody would know of the access.
func legible(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (a *Access) message() string {
	switch {
	case a.Began:
		return "begun"
	case a.Count > 1:
		return strconv.FormatInt(a.Count, 10) + " requests of nobody who is known, of which this is the last"
	}
	return strconv.FormatInt(a.Rows, 10) + " rows in " + a.Duration.Round(time.Millisecond).String()
}

// endpoint is where a request came from; the socket has no address.
func endpoint(peer string) *ocsf.NetworkEndpoint {
	p, err := netip.ParseAddrPort(peer)
	if err != nil {
		return &ocsf.NetworkEndpoint{Name: "localhost"}
	}
	// Which of our interfaces a link-local address is at is none of it.
	return &ocsf.NetworkEndpoint{IP: p.Addr().WithZone("").String(), Port: int64(p.Port())}
}
