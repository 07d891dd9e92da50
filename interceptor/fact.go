// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/json"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A Fact is one thing that happened to an operation. Operation is always set.
// With Evaluation alone a binding is about to be called; with Result or Failure
// beside it (never both) that call ended; with Outcome, and no Evaluation, the
// operation came to its end.
type Fact struct {
	Time       time.Time
	Operation  *Operation
	Plan       *Plan
	Binding    *Binding
	Evaluation *Evaluation
	Result     *Result
	Failure    *Failure
	Outcome    *Outcome

	// Waited is how long the call waited for its turn, while as many as may be of
	// its interceptor were under way; Uncalled says that the evaluation failed
	// before it was its turn. Both come with a Result or Failure.
	Waited   time.Duration
	Uncalled bool

	// Span is the live span of what the fact is about, the evaluation or the
	// operation; nil when there is none. It MUST NOT be kept.
	Span trace.Span
}

// A Decision is what a binding or a chain decided. The numbers are those of
// OCSF's action_id; the zero Decision is none.
type Decision uint8

// The decisions.
const (
	None   Decision = 0
	Allow  Decision = 1
	Deny   Decision = 2
	Modify Decision = 4 // allow, with patches
)

// An Evaluation is one call of one binding in one phase, with exactly what the
// binding is shown.
type Evaluation struct {
	UID         UID
	Operation   UID
	Interceptor string // configured name of the service
	Binding     string // id
	Phase       Phase

	Service, Method string
	Principal       map[string]string

	// Attributes and Metadata are what the binding is granted of the operation's
	// attributes and metadata namespaces: copies, the binding's own.
	Attributes map[string]string
	Metadata   map[string]map[string]any

	// RequestID is the operation's.
	RequestID string

	// Payload is the proposed operation, or, in post_commit, the committed
	// response. State is the current state in validate; nil is absent.
	Payload *Payload
	State   *Payload

	Trace        trace.SpanContext
	Start        time.Time
	Index, Count int // this binding's place among those of the phase, from 0
}

// A Result is a binding's answer.
type Result struct {
	Decision Decision // Allow, Deny or Modify; Modify when there are Patches
	Reason   string
	// StatusCode is a gRPC code's name, such as "PERMISSION_DENIED", for a deny.
	// Anything else, and "OK", answers PERMISSION_DENIED.
	StatusCode  string
	Patches     []Patch // modify_operation only; one atomic candidate
	Annotations map[string]string
	Warnings    []string

	// Metadata sets metadata namespaces, each as a whole, for the bindings that
	// come later and are granted them.
	Metadata map[string]map[string]any

	// Violation is what of the contract a deny broke. The chain sets it; what an
	// adapter of a transport set stays where the chain itself sees no breach.
	Violation string
	End       time.Time // set by the chain
}

// A Patch is one operation of a JSON Patch (RFC 6902). Value is JSON text; nil
// is absent, which differs from the JSON null.
type Patch struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	From  string          `json:"from,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

// A FailureKind says how a binding failed.
type FailureKind string

// The failure kinds.
const (
	Timeout       FailureKind = "timeout"
	Unavailable   FailureKind = "unavailable"
	InvalidResult FailureKind = "invalid_result"
	Limit         FailureKind = "limit"
	Panic         FailureKind = "panic"
	Cancelled     FailureKind = "cancelled" // the caller went away; the chain's alone to say
	Scope         FailureKind = "scope"     // the result sets what the binding may not
)

// A Failure stands where a binding gave no valid Result. It is an error, so
// that an [Interceptor] can return one to name the kind itself.
type Failure struct {
	Kind   FailureKind
	Detail string // the whole cause; never told to the caller

	// The chain sets what it made of the failure.
	Policy   FailurePolicy
	Decision Decision // Deny, Allow, or None under Ignore
	End      time.Time
}

// Error implements error.
func (f *Failure) Error() string { return string(f.Kind) + ": " + f.Detail }

// A Part is what one binding had to do with an operation.
type Part struct {
	Evaluation  UID // empty when skipped
	Interceptor string
	Binding     string
	Phase       Phase
	Decision    Decision

	// Shadow says that the binding is a shadow: Decision is then None, and Would
	// what it would have been. So it is with the Decision of its Failure; its
	// Result is what it answered.
	Shadow bool
	Would  Decision

	Failure *Failure // nil when there was a Result
	Skipped string   // why the binding was not called; empty when it was
}

// An Outcome is what became of an operation up to the handler's return.
type Outcome struct {
	Decision Decision
	Ran      bool // the handler was called

	// AuditPending says that the caller is answered before the Outcome is
	// known to be durable. It is set after the Outcome was recorded.
	AuditPending bool

	Reason string // of a deny
	By     *Part  // the part that denied; nil when none did

	// Status is what the caller is answered; the chain never leaves it nil.
	// HandlerStatus is the handler's, which is not nil when it succeeded; nil when
	// it was not called.
	Status        *status.Status
	HandlerStatus *status.Status

	Request  proto.Message // what the handler was given, or would have been
	Response proto.Message // what it answered; nil unless it succeeded
	Patches  []Patch       // accepted, in order
	// Parts are those of modify_operation and validate, in order, and of the
	// bindings of post_commit that will not be called, because the operation was
	// denied, say. Those that will be called come after the Outcome.
	Parts []Part

	End time.Time
}
