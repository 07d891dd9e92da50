// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// The keys of a principal that have a home in OCSF's actor.
const (
	principalKind        = "kind"
	principalSubject     = "subject"
	principalDisplayName = "display_name"
	principalProvider    = "provider"
	principalRoles       = "roles"
	principalSandboxID   = "sandbox_id"
	principalTrustDomain = "trust_domain"
)

// people is room for an actor and what it consists of.
type people struct {
	actor   ocsf.Actor
	user    ocsf.User
	session ocsf.Session
}

// actorOf returns the actor that a principal is, with the agent that acts for
// it. It is never empty, as the schema demands. newer says that OCSF is one that
// has an object for applications.
func (to *people) actorOf(p map[string]string, by agent, newer bool) *ocsf.Actor {
	a := &to.actor
	subject := text(p[principalSubject])
	var app struct{ name, uid string }
	switch kind := text(p[principalKind]); {
	case kind == "sandbox":
		app.name, app.uid = "sandbox", or(text(p[principalSandboxID]), subject)
	case kind == kindAgent:
		app.name, app.uid = or(by.name, kind), by.uid
	case subject != "":
		a.User = to.userOf(p, subject)
		app.uid = by.uid
	default:
		app.name, app.uid = or(kind, "unknown"), by.uid
	}
	if issuer := or(text(p[principalProvider]), text(p[principalTrustDomain])); issuer != "" || by.session != "" {
		to.session.Issuer, to.session.UID = issuer, by.session
		a.Session = &to.session
	}
	switch {
	case !newer:
		a.AppName, a.AppUID = app.name, app.uid
	case app.name != "" || app.uid != "":
		a.Application = &ocsf.Application{Name: app.name, UID: app.uid}
	}
	return a
}

func (to *people) userOf(p map[string]string, subject string) *ocsf.User {
	u := &to.user
	u.UID, u.Name, u.TypeID = subject, text(p[principalDisplayName]), ocsf.UserTypeUser
	if p[principalKind] == "service" {
		u.TypeID = ocsf.UserTypeService
	}
	roles := text(p[principalRoles])
	if roles == "" {
		return u
	}
	u.Groups = make([]ocsf.Group, 0, 1+strings.Count(roles, ","))
	for role := range strings.SplitSeq(roles, ",") {
		if role = strings.TrimSpace(role); role != "" {
			u.Groups = append(u.Groups, ocsf.Group{Name: role})
		}
	}
	if len(u.Groups) == 0 {
		u.Groups = nil
	}
	return u
}

// sourceAddress is the attribute that src_endpoint is made of.
const sourceAddress = "source.address"

// sourceOf returns the endpoint that an operation came from, as this gateway
// saw it.
func sourceOf(gateway, address string) ocsf.NetworkEndpoint {
	e := ocsf.NetworkEndpoint{SvcName: or(text(gateway), defaultGateway)}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		e.IP = ip.WithZone("").Unmap().String()
	} else {
		e.Hostname = text(host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		e.Port = int64(n)
	}
	return e
}

// attributeRequestID is the attribute that the operation's RequestID is told by.
const attributeRequestID = "request.id"

// withheld says whether an attribute is never recorded, should an adapter pass it
// on against its contract: headers that hold credentials.
func withheld(name string) bool {
	name = strings.TrimPrefix(strings.ToLower(name), headerPrefix)
	name = strings.TrimSuffix(strings.ReplaceAll(name, "_", "-"), "-bin") // as binary headers are called
	switch name {
	case "token", "x-jwt-assertion":
		return true
	}
	for _, word := range []string{"authorization", "cookie", "api-key", "apikey", "password", "secret"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return strings.HasSuffix(name, "-token")
}

// attributesOf returns the attributes that are recorded; nil when there are none.
func attributesOf(op *interceptor.Operation, left *notes) map[string]string {
	kept := make(map[string]string, len(op.Attributes)+1)
	if op.RequestID != "" {
		kept[attributeRequestID] = text(op.RequestID)
	}
	for k, v := range op.Attributes {
		if withheld(k) {
			left.add(note{at: atAttributes, rule: ruleCredentials, do: RedactDrop}, 1)
			continue
		}
		kept[text(k)] = text(v)
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// texts returns m with its texts made valid.
func texts(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[text(k)] = text(v)
	}
	return out
}

// text makes s valid UTF-8: an event that could not be encoded would be a hole
// in the record, which anyone could dig.
func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
