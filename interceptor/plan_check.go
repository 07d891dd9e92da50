// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The defaults of a Plan and its bindings.
const (
	DefaultTimeout          = 500 * time.Millisecond
	DefaultMaxResponseBytes = 1 << 20
	DefaultMaxPatches       = 32
	DefaultMaxConcurrent    = 1024
	DefaultMaxQueue         = 1024
	DefaultAuditDeadline    = 2 * time.Second
)

// A PlanError says what is wrong with a Plan, and what to do about it.
type PlanError struct {
	Binding string // "interceptor/id"; "" when it is the plan's own
	Field   string // as in the plan's JSON form
	Problem string
	Fix     string
}

// Error implements error.
func (e *PlanError) Error() string {
	if e.Binding == "" {
		return fmt.Sprintf("check plan: %s: %s", e.Field, e.Problem)
	}
	return fmt.Sprintf("check plan: binding %s: %s: %s", e.Binding, e.Field, e.Problem)
}

// Hint says what to do.
func (e *PlanError) Hint() string { return e.Fix }

// Governs reports whether a binding selects the method.
func (p *Plan) Governs(service, method string) bool {
	return slices.ContainsFunc(p.Bindings, func(b Binding) bool { return b.selects(service, method) })
}

func (b *Binding) selects(service, method string) bool {
	if len(b.RPCs) == 0 {
		return true
	}
	return slices.ContainsFunc(b.RPCs, func(rpc string) bool {
		s, m, _ := strings.Cut(rpc, "/")
		return s == service && m == method
	})
}

// Digest returns "sha256:" and the hex SHA-256 of the plan's canonical JSON
// (RFC 8785). A plan has one digest, whether or not its defaults are written
// out and whatever order its bindings are listed in. It is "" for a plan that
// has no JSON form, which [New] refuses.
//
// It encodes the plan: who needs it often keeps it.
func (p *Plan) Digest() string {
	raw, err := json.Marshal(p.normal())
	if err != nil {
		return ""
	}
	canonical := jsontext.Value(raw)
	if canonical.Canonicalize() != nil {
		return ""
	}
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// normal returns a deep copy of the plan with its defaults filled in and its
// bindings in the order in which they are called.
func (p *Plan) normal() *Plan {
	c := *p
	c.Audit = cmp.Or(c.Audit, AuditAuto)
	c.AuditDeadline = cmp.Or(c.AuditDeadline, DefaultAuditDeadline)
	c.Answer = cmp.Or(c.Answer, AnswerRelease)
	c.AuditMethods = maps.Clone(c.AuditMethods)
	c.Bindings = make([]Binding, len(p.Bindings))
	for i, b := range p.Bindings {
		b.RPCs, b.Principals, b.Labels = slices.Clone(b.RPCs), slices.Clone(b.Principals), maps.Clone(b.Labels)
		b.Attributes, b.Reads, b.Writes = slices.Clone(b.Attributes), slices.Clone(b.Reads), slices.Clone(b.Writes)
		b.Phases = slices.Compact(slices.Sorted(slices.Values(b.Phases)))
		if slices.ContainsFunc(b.Phases, func(phase Phase) bool { return phase != PostCommit }) {
			b.FailurePolicy = cmp.Or(b.FailurePolicy, FailClosed)
		}
		if slices.Contains(b.Phases, PostCommit) {
			b.PostCommitPolicy = cmp.Or(b.PostCommitPolicy, FailOpen)
		}
		b.Timeout = cmp.Or(b.Timeout, DefaultTimeout)
		b.MaxResponseBytes = cmp.Or(b.MaxResponseBytes, DefaultMaxResponseBytes)
		b.MaxPatches = cmp.Or(b.MaxPatches, DefaultMaxPatches)
		b.MaxConcurrent = cmp.Or(b.MaxConcurrent, DefaultMaxConcurrent)
		if b.Settings != nil {
			b.Settings = copyOf(b.Settings).(map[string]any)
		}
		c.Bindings[i] = b
	}
	slices.SortStableFunc(c.Bindings, func(a, b Binding) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.BindingOrder, b.BindingOrder),
			cmp.Compare(a.Interceptor, b.Interceptor), cmp.Compare(a.ID, b.ID))
	})
	return &c
}

// copyOf copies what a settings table is made of.
func copyOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, item := range v {
			c[k] = copyOf(item)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, item := range v {
			c[i] = copyOf(item)
		}
		return c
	}
	return v
}

// check judges a normal plan.
func (p *Plan) check() error {
	switch {
	case p.Unmatched != UnmatchedAllow && p.Unmatched != UnmatchedDeny:
		return &PlanError{
			Field: "unmatched", Problem: fmt.Sprintf("is %q, which is neither allow nor deny", p.Unmatched),
			Fix: `decide in writing what becomes of methods that no binding selects: unmatched = "allow" or "deny"`,
		}
	case !isAudit(p.Audit):
		return &PlanError{Field: "audit", Problem: fmt.Sprintf("unknown mode %q", p.Audit), Fix: "use auto, durable or best_effort"}
	case p.Answer != AnswerRelease && p.Answer != AnswerWithhold:
		return &PlanError{Field: "answer", Problem: fmt.Sprintf("unknown answer %q", p.Answer), Fix: "use release or withhold"}
	case p.AuditDeadline < 0:
		return &PlanError{Field: "audit_deadline_ns", Problem: "is negative", Fix: `give a duration such as "2s"`}
	case p.SecretOption < 0 || p.SecretOption > maxFieldNumber:
		return &PlanError{Field: "secret_option", Problem: fmt.Sprintf("%d is no number of a field", p.SecretOption), Fix: "leave it out to have 50001"}
	}
	if err := p.checkAudit(); err != nil {
		return err
	}
	seen, lanes := map[string]bool{}, map[string][2]int{}
	for i := range p.Bindings {
		b := &p.Bindings[i]
		name := b.Interceptor + "/" + b.ID
		if seen[name] {
			return &PlanError{Binding: name, Field: "id", Problem: "is used twice", Fix: "give each binding of an interceptor an id of its own"}
		}
		seen[name] = true
		if err := b.check(); err != nil {
			err.Binding = name
			return err
		}
		bounds := [2]int{b.MaxConcurrent, b.MaxQueue}
		if others, ok := lanes[b.Interceptor]; ok && others != bounds {
			return &PlanError{Binding: name, Field: "limits", Problem: "another binding of the interceptor has another max_concurrent or max_queue", Fix: "give all bindings of an interceptor the same: they share them"}
		}
		lanes[b.Interceptor] = bounds
	}
	if p.Digest() == "" {
		return &PlanError{Field: "settings", Problem: "a value has no JSON form", Fix: "use texts, numbers, booleans, lists and tables"}
	}
	return nil
}

func (b *Binding) check() *PlanError {
	switch {
	case strings.TrimSpace(b.Interceptor) == "":
		return &PlanError{Field: "interceptor", Problem: "is empty", Fix: "name the interceptor"}
	case strings.TrimSpace(b.ID) == "":
		return &PlanError{Field: "id", Problem: "is empty", Fix: "give the binding an id"}
	case b.Impl == nil:
		return &PlanError{Field: "interceptor", Problem: "nothing is there to be called", Fix: "give it an endpoint, or link it into the process"}
	case len(b.Phases) == 0:
		return &PlanError{Field: "phases", Problem: "are none", Fix: "name modify_operation, validate or post_commit, or leave the binding out"}
	case b.Timeout < 0, b.MaxResponseBytes < 0, b.MaxPatches < 0, b.MaxConcurrent < 0, b.MaxQueue < 0, b.CaptureMax < 0:
		return &PlanError{Field: "limits", Problem: "one is negative", Fix: "leave out a limit to have its default"}
	case b.FailurePolicy == Ignore:
		return &PlanError{Field: "failure_policy", Problem: "ignore is for post_commit alone", Fix: "use fail_closed or fail_open"}
	case b.ModifyPolicy == Ignore:
		return &PlanError{Field: "modify_policy", Problem: "ignore is for post_commit alone", Fix: "use fail_closed or fail_open"}
	case b.PostCommitPolicy == FailClosed:
		return &PlanError{Field: "post_commit_policy", Problem: "post_commit cannot be fail_closed: the handler has run", Fix: "use fail_open or ignore"}
	}
	for _, phase := range b.Phases {
		if phase.String() == "" {
			return &PlanError{Field: "phases", Problem: fmt.Sprintf("no phase has the number %d", phase), Fix: "use modify_operation, validate or post_commit"}
		}
	}
	if b.FailurePolicy > Ignore || b.PostCommitPolicy > Ignore || b.ModifyPolicy > Ignore {
		return &PlanError{Field: "failure_policy", Problem: "no policy has that number", Fix: "use fail_closed, fail_open or ignore"}
	}
	if b.Audit != "" && b.Audit != AuditDurable && b.Audit != AuditBestEffort {
		return &PlanError{Field: "audit", Problem: fmt.Sprintf("unknown mode %q", b.Audit), Fix: "use durable or best_effort, or leave it to the plan"}
	}
	if b.Capture != "" && b.Capture != CaptureFull && b.Capture != CaptureDigest && b.Capture != CaptureNone {
		return &PlanError{Field: "capture", Problem: fmt.Sprintf("unknown word %q", b.Capture), Fix: "use full, digest or none"}
	}
	return cmp.Or(b.checkSelectors(), b.checkScope())
}

func (b *Binding) checkSelectors() *PlanError {
	for _, rpc := range b.RPCs {
		service, method, ok := strings.Cut(rpc, "/")
		if !ok || service == "" || method == "" || strings.Contains(method, "/") || strings.TrimSpace(rpc) != rpc {
			return &PlanError{Field: "rpcs", Problem: fmt.Sprintf("%q names no method", rpc), Fix: `write "package.Service/Method"`}
		}
	}
	for _, pattern := range b.Principals {
		if kind, _, _ := strings.Cut(pattern, "/"); kind == "" || !isPattern(pattern) {
			return &PlanError{Field: "principals", Problem: fmt.Sprintf("%q names no principal", pattern), Fix: `write "KIND" or "KIND/SUBJECT", with an asterisk at the end if you like`}
		}
	}
	if _, ok := b.Labels[""]; ok {
		return &PlanError{Field: "labels", Problem: "one has no name", Fix: `write the label's name and its value, "*" for any`}
	}
	return nil
}

func (b *Binding) checkScope() *PlanError {
	for _, pattern := range b.Attributes {
		if !isPattern(pattern) {
			return &PlanError{Field: "attributes", Problem: fmt.Sprintf("%q names no attribute", pattern), Fix: "write its name, with an asterisk at the end if you like"}
		}
	}
	if slices.Contains(b.Reads, "") || slices.Contains(b.Writes, "") {
		return &PlanError{Field: "reads and writes", Problem: "a metadata namespace has no name", Fix: "name it"}
	}
	if len(b.Writes) > maxWrites {
		return &PlanError{Field: "writes", Problem: fmt.Sprintf("%d metadata namespaces", len(b.Writes)), Fix: fmt.Sprintf("name at most %d", maxWrites)}
	}
	for _, name := range b.Writes {
		if owner, _, _ := strings.Cut(strings.ToLower(name), "."); owner == "envoy" || owner == "docket" {
			return &PlanError{Field: "writes", Problem: fmt.Sprintf("%q is not for bindings to write", name), Fix: `name no namespace of "envoy." or "docket."`}
		}
	}
	return nil
}

// isPattern reports whether a text is a name, or the beginning of one and an
// asterisk.
func isPattern(text string) bool {
	return strings.TrimSpace(text) == text && text != "" && !strings.Contains(strings.TrimSuffix(text, "*"), "*")
}

// maxFieldNumber is the largest number that a field of protobuf can have.
const maxFieldNumber = 1<<29 - 1
