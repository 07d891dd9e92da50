// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A UID names an operation or an evaluation: a UUIDv7 in its text form.
type UID string

// An Operation is one governed API call. The adapter fills it; the chain reads
// it. The chain assigns UID and Start when they are empty.
type Operation struct {
	UID    UID
	Tenant string // "" is the tenant "default"

	// Service is the full protobuf name of the service, Method the plain name
	// of the method: "demo.sandbox.v1.Sandboxes" and "CreateSandbox".
	Service, Method string

	// Principal says who asks, in the keys of the wire contract: "kind" (user,
	// sandbox, anonymous, unknown), "subject", "display_name", "provider", ...
	Principal map[string]string

	// Attributes are facts of the transport, such as "source.address" (host:port)
	// and "user_agent". Credentials MUST NOT be among them.
	Attributes map[string]string

	// RequestID is the caller's x-request-id, if it sent one that may be passed on.
	RequestID string

	// Labels are what bindings can select operations by; the adapter reads them
	// from the request as it was proposed.
	Labels map[string]string

	// Metadata holds the metadata namespaces that the operation comes with. It is
	// never changed: what bindings add is the chain's, and dies with the operation.
	Metadata map[string]map[string]any

	// Types resolves what messages refer to by name: Any and extensions. Nil is
	// the types that are linked in.
	Types interface {
		protoregistry.MessageTypeResolver
		protoregistry.ExtensionTypeResolver
	}

	// Request is the proposed payload, whole, secrets included. The chain never
	// changes it: what the handler gets is a patched copy.
	Request proto.Message

	// State is the current state of what the operation is about; nil is absent.
	State proto.Message

	// Refusal is set by an adapter that has no request for bindings to judge,
	// because it is too long, say, or does not decode. The operation is denied
	// with this status, and no binding is called. Nil is none.
	Refusal *status.Status

	// Trace is the caller's trace context; invalid when there was none.
	Trace trace.SpanContext
	// Span is the operation's own span, set by the chain; invalid when it is not traced.
	Span trace.SpanContext

	// Start is when the operation reached the adapter.
	Start time.Time

	// Durable is set by the chain: the operation's facts are waited for.
	Durable bool
}

// A Handler does what the operation asks, with the payload that the chain
// settled on. The error's gRPC status is the handler's status.
type Handler func(ctx context.Context, request proto.Message) (response proto.Message, err error)
