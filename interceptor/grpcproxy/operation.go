// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"cmp"
	"context"
	"net"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// The attributes of an operation, by the names that Envoy has for them but for
// the user agent's, which is that of OCSF. Those of headers are headerPrefix and
// the header's name.
const (
	attributeSource    = "source.address" // host:port; a caller at a socket has none
	attributeUserAgent = "user_agent"
	attributeMethod    = "request.method" // of HTTP
	attributePath      = "request.path"   // "/service/method"
	headerPrefix       = "request.headers."
)

// httpMethod is the one that gRPC has.
const httpMethod = "POST"

// operation describes a call to the chain; the request is still to be set.
func (c *Config) operation(ctx context.Context, service, method string) *interceptor.Operation {
	md, _ := metadata.FromIncomingContext(ctx)
	tenant, err := c.Tenant(md)
	principal, wrong := c.Principal(ctx, md)
	op := &interceptor.Operation{
		Service: service, Method: method, Tenant: tenant, Principal: principal,
		Attributes: c.attributes(ctx, md), Trace: traceOf(ctx, md), Start: c.Now(),
	}
	if err = cmp.Or(err, wrong); err != nil {
		var ok bool
		if op.Refusal, ok = status.FromError(err); !ok { // which may tell too much
			op.Refusal = status.New(codes.Unauthenticated, "whose call it is cannot be told")
		}
	}
	op.Attributes[attributeMethod], op.Attributes[attributePath] = httpMethod, "/"+service+"/"+method
	if c.Metadata != nil {
		op.Metadata = c.Metadata(withoutCredentials(md))
	}
	if id := md.Get(keyRequestID); len(id) == 1 && isRequestID(id[0]) {
		op.RequestID = id[0]
	}
	return op
}

// attributes are what the transport tells of a call.
func (c *Config) attributes(ctx context.Context, md metadata.MD) map[string]string {
	out := map[string]string{}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		if _, _, err := net.SplitHostPort(p.Addr.String()); err == nil { // a socket has no address
			out[attributeSource] = p.Addr.String()
		}
	}
	if agent := md.Get("user-agent"); len(agent) > 0 {
		out[attributeUserAgent] = clip(agent[0])
	}
	for _, header := range c.Attributes {
		if v, ok := textOf(md, header); ok {
			out[headerPrefix+strings.ToLower(header)] = v
		}
	}
	return out
}

// MetadataFrom makes metadata namespaces of headers: of each namespace those
// that are named for it and that the caller sent, each under its name in lower
// case. The caller can say in them what it likes, unless an authenticating proxy
// sets them.
func MetadataFrom(namespaces map[string][]string) func(metadata.MD) map[string]map[string]any {
	return func(md metadata.MD) map[string]map[string]any {
		var out map[string]map[string]any
		for namespace, headers := range namespaces {
			for _, header := range headers {
				v, ok := textOf(md, header)
				if !ok {
					continue
				}
				if out == nil {
					out = map[string]map[string]any{}
				}
				if out[namespace] == nil {
					out[namespace] = map[string]any{}
				}
				out[namespace][strings.ToLower(header)] = v
			}
		}
		return out
	}
}

// textOf is what a caller sent of a header that holds text: several values with
// a comma between them, as HTTP has it.
func textOf(md metadata.MD, header string) (string, bool) {
	v := md.Get(header)
	if len(v) == 0 || strings.HasSuffix(strings.ToLower(header), "-bin") {
		return "", false
	}
	return clip(strings.Join(v, ",")), true
}

// maxAttribute bounds what a caller can have written down of itself.
const maxAttribute = 1 << 10

// clip makes a text of what a caller sent: headers may hold any bytes.
func clip(s string) string {
	if len(s) > maxAttribute {
		s = strings.ToValidUTF8(s[:maxAttribute], "") + "..."
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// isCredential reports whether a header carries what only the service is to
// know.
func isCredential(header string) bool {
	name := strings.ReplaceAll(strings.ToLower(header), "_", "-")
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

// withoutCredentials is metadata that may be shown.
func withoutCredentials(md metadata.MD) metadata.MD {
	out := make(metadata.MD, len(md))
	for k, v := range md {
		if !isCredential(k) {
			out[k] = v
		}
	}
	return out
}
