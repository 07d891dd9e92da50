// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"mime"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// What Docket says in metadata. Keys with this prefix are its own.
const (
	keyPrefix       = "docket-"
	keyOperationUID = "docket-operation-uid"
	keyAudit        = "docket-audit"
	auditPending    = "pending"
	keyRequestID    = "x-request-id" // the caller's
)

// TenantFrom takes the tenant from a metadata key that the operator trusts;
// fallback is for calls without it. A call that names several is refused.
func TenantFrom(key, fallback string) func(metadata.MD) (string, error) {
	return func(md metadata.MD) (string, error) {
		v, err := oneOf(md, key)
		if v == "" {
			v = fallback
		}
		return v, err
	}
}

// oneOf returns the value of a key that says whose a call is. Who could add a
// second one could choose which of them counts.
func oneOf(md metadata.MD, key string) (string, error) {
	switch v := md.Get(key); len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	}
	return "", status.Errorf(codes.InvalidArgument, "metadata key %q is there more than once", key)
}

// PrincipalFrom takes the name of a user from a metadata key that the operator
// trusts. Calls without it are anonymous; one that names several is refused.
func PrincipalFrom(key string) func(context.Context, metadata.MD) (map[string]string, error) {
	return func(_ context.Context, md metadata.MD) (map[string]string, error) {
		v, err := oneOf(md, key)
		if v == "" {
			return anonymous(), err
		}
		return map[string]string{"kind": "user", "subject": v}, nil
	}
}

func anonymous() map[string]string { return map[string]string{"kind": "anonymous"} }

// isRequestID reports whether a caller's name for its request can be told on:
// at most 128 printable characters of ASCII.
func isRequestID(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// traceOf is the caller's trace context: of the server's own span when there
// is one, else of the traceparent that came with the call.
func traceOf(ctx context.Context, md metadata.MD) trace.SpanContext {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		return sc
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier(md)))
}

// carrier lets the propagator read metadata.
type carrier metadata.MD

func (c carrier) Get(key string) string {
	// Of two traceparents none is to be believed.
	if v := metadata.MD(c).Get(key); len(v) == 1 {
		return v[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// onward is the metadata that goes on to the service. What belongs to the hop
// is left to the next hop's own gRPC, and what begins with "docket-" is ours to
// say: uid is the operation's, or "".
func onward(md metadata.MD, uid interceptor.UID) metadata.MD {
	out := make(metadata.MD, len(md)+1)
	for k, v := range md {
		switch {
		case strings.HasPrefix(k, ":"), strings.HasPrefix(k, keyPrefix):
		case k == "content-type", k == "user-agent", k == "te", k == "grpc-accept-encoding", k == "grpc-encoding":
		default:
			out[k] = v
		}
	}
	if uid != "" {
		out.Set(keyOperationUID, string(uid))
	}
	return out
}

// withoutOurs is what the service answered, less what only we may say.
func withoutOurs(md metadata.MD) metadata.MD {
	out := make(metadata.MD, len(md))
	for k, v := range md {
		if !strings.HasPrefix(k, keyPrefix) {
			out[k] = v
		}
	}
	return out
}

// contentSubtype is "json" of "application/grpc+json", and "" of
// "application/grpc".
func contentSubtype(md metadata.MD) string {
	v := md.Get("content-type")
	if len(v) == 0 {
		return ""
	}
	media, _, err := mime.ParseMediaType(v[0])
	if err != nil {
		media = v[0]
	}
	for _, sep := range []string{"application/grpc+", "application/grpc;"} {
		if sub, ok := strings.CutPrefix(media, sep); ok {
			return sub
		}
	}
	return ""
}
