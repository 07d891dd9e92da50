// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net"
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
	door := map[string]any{"door": a.Door}
	who := "unknown"
	if a.Grant != nil {
		who = a.Grant.Subject
		door["by"] = a.Grant.By
		if a.Grant.Issuer != "" {
			door["issuer"] = a.Grant.Issuer
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
				Operation: a.Method, Service: &ocsf.Service{Name: auditv1.AuditService_ServiceDesc.ServiceName},
				Request: &ocsf.Request{UID: uid, Data: map[string]any{"request": a.Request}},
			},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"access": door, "rows": a.Rows}},
		},
	}
	switch s.Code() {
	case codes.OK, codes.Canceled: // who has seen enough goes away
	case codes.Unauthenticated, codes.PermissionDenied:
		e.StatusID, e.SeverityID = ocsf.StatusFailure, ocsf.SeverityLow
		e.ActionID, e.DispositionID = ocsf.ActionDenied, ocsf.DispositionUnauthorized
		e.StatusDetail = s.Message()
	default:
		e.StatusID, e.StatusDetail = ocsf.StatusFailure, s.Message()
	}
	return e
}

func (a *Access) message() string {
	if a.Began {
		return "begun"
	}
	return strconv.FormatInt(a.Rows, 10) + " rows in " + a.Duration.Round(time.Millisecond).String()
}

// endpoint is where a request came from; the socket has no address.
func endpoint(peer string) *ocsf.NetworkEndpoint {
	host, port, err := net.SplitHostPort(peer)
	if err != nil || net.ParseIP(host) == nil {
		return &ocsf.NetworkEndpoint{Name: "localhost"}
	}
	e := &ocsf.NetworkEndpoint{IP: host}
	if n, err := strconv.Atoi(port); err == nil {
		e.Port = int64(n)
	}
	return e
}
