// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
)

const (
	// audiencePrefix begins the audience of an interceptor that states none.
	audiencePrefix = "urn:openshell:extension:interceptor:"
	// issuerPrefix begins the name by which a gateway issues its tokens.
	issuerPrefix = "openshell-gateway:"
	// defaultGatewayID is whose tokens are where an OpenShell file does not say.
	defaultGatewayID = "openshell"
	maxTTL           = time.Hour
)

// tokens reads [tokens]. Without it an OpenShell file's gateway_jwt stands for
// it: that gateway would call its interceptors with tokens.
func (doc *document) tokens(name string, s *settings) error {
	if t := doc.Tokens; t != nil {
		if !isWord(t.GatewayID) {
			return t.Errorf("gateway_id", `give the gateway a name of one word: tokens are issued by "`+issuerPrefix+`NAME"`, "gateway_id = %q is no name", t.GatewayID)
		}
		s.tokens = &Tokens{GatewayID: t.GatewayID, Key: besides(name, t.Key)}
		s.originsOf(t.Pos, "tokens.", "gateway_id", "key", "ttl")
		if t.TTL == nil {
			return nil
		}
		var err error
		s.tokens.TTL, err = duration(t.Pos, "ttl", *t.TTL, maxTTL)
		if err == nil && s.tokens.TTL < time.Second {
			err = t.Errorf("ttl", "tokens count in whole seconds", "ttl = %q is less than 1s", *t.TTL)
		}
		return err
	}
	if doc.OpenShell == nil {
		return nil
	}
	raw, ok := doc.OpenShell.Gateway.Rest["gateway_jwt"]
	if !ok || len(doc.OpenShell.Gateway.Interceptors) == 0 {
		return nil
	}
	jwt, ok := raw.(map[string]any)
	if !ok {
		return doc.OpenShell.Gateway.Errorf("gateway_jwt", "", "gateway_jwt must be a table")
	}
	return doc.foreignTokens(jwt, s)
}

// foreignTokens reads what we know of an OpenShell gateway's gateway_jwt, and
// says what we do not use.
func (doc *document) foreignTokens(jwt map[string]any, s *settings) error {
	pos := doc.OpenShell.Gateway.Pos
	for key, ours := range map[string]string{"gateway_id": "gateway_id", "ttl_secs": "ttl"} {
		if _, ok := jwt[key]; ok {
			s.origins["tokens."+ours] = pos.At("gateway_jwt")
		}
	}
	s.tokens = &Tokens{GatewayID: defaultGatewayID}
	if id, ok := jwt["gateway_id"]; ok {
		if s.tokens.GatewayID, ok = id.(string); !ok || !isWord(s.tokens.GatewayID) {
			return pos.Errorf("gateway_jwt", "", "gateway_id of gateway_jwt is no name")
		}
	} else {
		s.warnings = append(s.warnings, fmt.Sprintf("[openshell.gateway.gateway_jwt] says no gateway_id: tokens are issued by %q", issuerPrefix+defaultGatewayID))
	}
	if ttl, ok := jwt["ttl_secs"]; ok {
		secs, ok := ttl.(int64)
		if !ok || secs < 0 {
			return pos.Errorf("gateway_jwt", "", "ttl_secs of gateway_jwt is no number of seconds")
		}
		s.tokens.TTL = time.Duration(min(secs, int64(maxTTL/time.Second))) * time.Second
	}
	for _, key := range slices.Sorted(maps.Keys(jwt)) {
		if key != "gateway_id" && key != "ttl_secs" {
			s.warnings = append(s.warnings, fmt.Sprintf("[openshell.gateway.gateway_jwt] %s is not used: tokens are signed with a key of docket's own, whose key set interceptors have to know", key))
		}
	}
	return nil
}

func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// checkToken settles whom the tokens of an interceptor are for, and refuses to
// send them where others can read them.
func (s *service) checkToken(tokens *Tokens) error {
	if tokens == nil || s.endpoint == "" {
		return nil
	}
	s.audience = strings.TrimSpace(s.table.Audience)
	if s.audience == "" {
		s.audience = audiencePrefix + s.name
	}
	if s.audience == issuerPrefix+tokens.GatewayID {
		return s.errorf("audience", "give the interceptor an audience of its own", "its audience is the gateway itself")
	}
	if s.plain() && !s.table.AllowInsecureTransport {
		return s.errorf("grpc_endpoint", "use https:// or unix://, or say allow_insecure_transport = true",
			"its token would travel to %s in the plain", s.endpoint)
	}
	return nil
}

// plain reports whether others on the way can read what is sent.
func (s *service) plain() bool {
	u, err := url.Parse(s.endpoint)
	return err == nil && u.Scheme == "http"
}

// checkAudience compares the audience that the interceptor expects with the one
// that it will get.
func (s *service) checkAudience(m *interceptor.Manifest) error {
	if s.audience == "" || s.endpoint == "" || s.table.AllowInsecureTransport || m.Audience == "" || m.Audience == s.audience {
		return nil
	}
	return s.errorf("audience", fmt.Sprintf("say audience = %q if that is whom you mean to call", m.Audience),
		"it expects tokens for %q, and would get them for %q", m.Audience, s.audience)
}
