// SPDX-License-Identifier: Apache-2.0

package interceptor

import "time"

// A Phase is a point of an operation's way at which bindings are called.
// The numbers are those of the wire contract.
type Phase uint8

// The phases, in the order in which they run.
const (
	ModifyOperation Phase = 2 // may patch or deny
	Validate        Phase = 3 // may deny
	PostCommit      Phase = 4 // observes what the handler answered
)

// A FailurePolicy says what a [Failure] of a binding makes of the operation.
type FailurePolicy uint8

// The failure policies.
const (
	FailClosed FailurePolicy = iota + 1 // deny
	FailOpen                            // go on, say so, raise a finding
	Ignore                              // post_commit only: go on and record
)

// A Binding ties an interceptor to methods and phases.
//
// A field that came after the first release is left out of JSON when it is zero,
// and stays zero in a plan in force: recorded plans keep their digest.
type Binding struct {
	Interceptor  string `json:"interceptor"` // the configured name of the service that is called
	ID           string `json:"id"`
	Order        int32  `json:"order,omitzero"`         // of the service
	BindingOrder int32  `json:"binding_order,omitzero"` // within the phase, after Order

	// RPCs selects methods as "service/method"; empty selects every method.
	RPCs   []string `json:"rpcs,omitempty"`
	Phases []Phase  `json:"phases"`

	// Principals selects operations by who asks: "KIND" or "KIND/SUBJECT", with an
	// optional asterisk at the end; empty selects everybody. A sandbox without a
	// subject has its "sandbox_id" for one. Labels selects them by
	// [Operation.Labels], all of which must match; the value "*" is any. Both are
	// decided once, by the payload that was proposed, so that no patch can dodge a
	// later binding or summon one.
	Principals []string          `json:"principals,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`

	// Shadow bindings are evaluated, in their turn, and recorded, never applied. A
	// method that only shadows select is unmatched, as is one that bindings of
	// post_commit alone do.
	Shadow bool `json:"shadow,omitzero"`

	// FailurePolicy holds in modify_operation and validate (fail_closed or
	// fail_open; default fail_closed), PostCommitPolicy in post_commit
	// (fail_open or ignore; default fail_open).
	FailurePolicy    FailurePolicy `json:"failure_policy,omitzero"`
	PostCommitPolicy FailurePolicy `json:"post_commit_policy,omitzero"`
	// ModifyPolicy holds in modify_operation instead of FailurePolicy, if it is set.
	ModifyPolicy FailurePolicy `json:"modify_policy,omitzero"`

	// The bounds of each call. Zero is the default: 500 ms, 1 MiB, 32 patches,
	// 1024 calls at once.
	Timeout          time.Duration `json:"timeout_ns"`
	MaxResponseBytes int           `json:"max_response_bytes"`
	MaxPatches       int           `json:"max_patches"`
	// MaxConcurrent bounds the calls under way, those that outlived their
	// timeout among them. A call waits for its turn within its timeout.
	MaxConcurrent int `json:"max_concurrent"`
	// MaxQueue bounds the calls that wait for their turn; the next one fails at
	// once. Both bounds are the interceptor's: its bindings share them, and MUST
	// state the same. Zero is 1024.
	MaxQueue int `json:"max_queue,omitzero"`

	// Attributes names what of [Operation.Attributes] the binding sees, exactly or
	// with an asterisk at the end. Reads and Writes name the metadata namespaces
	// that it sees, and that its results may set: at most 8, never "envoy." or
	// "docket." ones. Nothing is granted by default.
	Attributes []string `json:"attributes,omitempty"`
	Reads      []string `json:"reads,omitempty"`
	Writes     []string `json:"writes,omitempty"`

	// Capture says how much of payloads the record keeps: "full" (the default),
	// "digest" or "none". CaptureMax is the size in bytes from which on it keeps
	// the digest; zero is the recorder's own limit.
	Capture    string `json:"capture,omitzero"`
	CaptureMax int    `json:"capture_max,omitzero"`

	// Audit says when the facts of operations that the binding takes part in are
	// waited for: AuditDurable or AuditBestEffort; "" leaves it to the plan. One
	// binding that is durable outweighs all others.
	Audit string `json:"audit,omitzero"`

	// Endpoint is where the interceptor is served, for people to read; "" in process.
	Endpoint string `json:"endpoint,omitzero"`
	// Settings is the free table that interceptors linked in process are made from.
	Settings map[string]any `json:"settings,omitempty"`

	// Impl is what is called.
	Impl Interceptor `json:"-"`
}

// What becomes of an operation that no binding governs: none selects it that
// judges, before the handler, and is no shadow.
const (
	UnmatchedAllow = "allow"
	UnmatchedDeny  = "deny"
)

// When the facts of an operation are waited for.
const (
	AuditAuto       = "auto"        // durable, but best_effort for methods that only read
	AuditDurable    = "durable"     // always
	AuditBestEffort = "best_effort" // never
)

// What a caller is answered when the handler ran and the Outcome is not
// durable at the audit deadline.
const (
	AnswerRelease  = "release"  // the handler's true status, marked as pending
	AnswerWithhold = "withhold" // UNKNOWN "committed, audit pending"
)

// What the record keeps of a binding's payloads.
const (
	CaptureFull   = "full"
	CaptureDigest = "digest"
	CaptureNone   = "none"
)

// A Plan is the bindings in force. It is plain data; [New] takes a copy, so
// that a Plan in force never changes.
type Plan struct {
	Bindings  []Binding `json:"bindings"`
	Unmatched string    `json:"unmatched"` // UnmatchedAllow or UnmatchedDeny; required

	Audit string `json:"audit"` // default AuditAuto
	// AuditMethods says so of single methods, "service/method", and of all of a
	// service's, "service/*": AuditAuto, AuditDurable or AuditBestEffort. The
	// method goes before its service, and both before bindings and Audit.
	AuditMethods  map[string]string `json:"audit_methods,omitempty"`
	AuditDeadline time.Duration     `json:"audit_deadline_ns"` // of each wait; default 2 s
	Answer        string            `json:"answer"`            // default AnswerRelease

	// SecretOption is the number of the field option that marks secrets; 0 is 50001.
	SecretOption int32 `json:"secret_option,omitzero"`
}
