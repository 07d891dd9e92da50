// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"mime"
	"net"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/reflect/protoreflect"

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
// fallback is for calls without it.
func TenantFrom(key, fallback string) func(metadata.MD) string {
	return func(md metadata.MD) string {
		if v := md.Get(key); len(v) == 1 && v[0] != "" {
			return v[0]
		}
		return fallback
	}
}

// PrincipalFrom takes the name of a user from a metadata key that the operator
// trusts. Calls without it are anonymous.
func PrincipalFrom(key string) func(context.Context, metadata.MD) map[string]string {
	return func(ctx context.Context, md metadata.MD) map[string]string {
		if v := md.Get(key); len(v) == 1 && v[0] != "" {
			return map[string]string{"kind": "user", "subject": v[0]}
		}
		return anonymous(ctx, md)
	}
}

func anonymous(context.Context, metadata.MD) map[string]string {
	return map[string]string{"kind": "anonymous"}
}

// operation describes a call to the chain; the request is still to be set.
func (c *Config) operation(ctx context.Context, service, method string) *interceptor.Operation {
	md, _ := metadata.FromIncomingContext(ctx)
	op := &interceptor.Operation{
		Service: service, Method: method,
		Tenant: c.Tenant(md), Principal: c.Principal(ctx, md),
		Attributes: map[string]string{}, Trace: traceOf(ctx, md), Start: c.Now(),
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		if _, _, err := net.SplitHostPort(p.Addr.String()); err == nil { // a socket has no address
			op.Attributes["source.address"] = p.Addr.String()
		}
	}
	if agent := md.Get("user-agent"); len(agent) > 0 {
		op.Attributes["user_agent"] = clip(agent[0])
	}
	for _, header := range c.Attributes {
		if v := md.Get(header); len(v) > 0 && !strings.HasSuffix(header, "-bin") {
			op.Attributes["request.headers."+strings.ToLower(header)] = clip(strings.Join(v, ","))
		}
	}
	if id := md.Get(keyRequestID); len(id) == 1 && isRequestID(id[0]) {
		op.RequestID = id[0]
	}
	return op
}

// maxAttribute bounds what a caller can have written down of itself.
const maxAttribute = 1 << 10

func clip(s string) string {
	if len(s) > maxAttribute {
		s = strings.ToValidUTF8(s[:maxAttribute], "") + "..."
	}
	return s
}

// isRequestID reports whether a caller's name for its request can be told on:
// at most 128 printable characters of ASCII.
func isRequestID(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// labelsOf are the labels of what a request is about: its own field "labels" of
// type map<string, string>, else that of its one field that is a message.
func labelsOf(m protoreflect.Message) map[string]string {
	if fd := labelsField(m.Descriptor()); fd != nil {
		return labelsIn(m, fd)
	}
	var inner protoreflect.FieldDescriptor
	for i := range m.Descriptor().Fields().Len() {
		switch fd := m.Descriptor().Fields().Get(i); {
		case fd.Message() == nil, fd.Cardinality() == protoreflect.Repeated:
		case inner != nil:
			return nil
		default:
			inner = fd
		}
	}
	if inner == nil || !m.Has(inner) {
		return nil
	}
	if fd := labelsField(inner.Message()); fd != nil {
		return labelsIn(m.Get(inner).Message(), fd)
	}
	return nil
}

func labelsField(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	fd := d.Fields().ByName("labels")
	if fd == nil || !fd.IsMap() || fd.MapKey().Kind() != protoreflect.StringKind || fd.MapValue().Kind() != protoreflect.StringKind {
		return nil
	}
	return fd
}

func labelsIn(m protoreflect.Message, fd protoreflect.FieldDescriptor) map[string]string {
	if !m.Has(fd) {
		return nil
	}
	out := map[string]string{}
	m.Get(fd).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		out[k.String()] = v.String()
		return true
	})
	return out
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
