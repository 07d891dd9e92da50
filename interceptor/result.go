// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// admit judges a result by the contract and copies it to r, with the decision
// that it amounts to. In modify_operation and validate a deny is a deny whatever
// else is wrong with it, which becomes its Violation; any other breach is a
// Failure.
func (b *bound) admit(phase Phase, given, r *Result) (*Result, *Failure) {
	if given == nil {
		return nil, fail(InvalidResult, "no result")
	}
	*r = *given
	r.Violation = ""
	r.tidy()
	var size int
	var err error
	if len(given.Metadata) > 0 {
		r.Metadata, size, err = copyMetadata(given.Metadata, b.MaxResponseBytes)
	}
	kind, breach := b.breach(phase, r, size, err)
	switch {
	case r.Decision == Deny && phase != PostCommit:
		// Who received the result may have seen a breach that is not in it.
		r.Violation = cmp.Or(breach, clip(given.Violation, maxDetail))
		r.Patches = nil
	case kind != "":
		return nil, fail(kind, breach)
	case len(r.Patches) > 0:
		r.Decision = Modify
	default:
		r.Decision = Allow
	}
	return r, nil
}

// breach says how a result breaks the contract; an empty kind when it does not.
// Its metadata takes more bytes than are in the result itself, and has no JSON
// form when there is an error.
func (b *bound) breach(phase Phase, r *Result, more int, err error) (FailureKind, string) {
	size := r.size() + more
	switch {
	case err != nil && !errors.Is(err, errNoRoom):
		return InvalidResult, clip(err.Error(), maxDetail)
	case r.Decision != Allow && r.Decision != Modify && r.Decision != Deny:
		return InvalidResult, fmt.Sprintf("no such decision: %d", r.Decision)
	case size > b.MaxResponseBytes:
		return Limit, fmt.Sprintf("result of %d bytes; at most %d are allowed", size, b.MaxResponseBytes)
	case len(r.Patches) > b.MaxPatches:
		return Limit, fmt.Sprintf("%d patches; at most %d are allowed", len(r.Patches), b.MaxPatches)
	case phase == PostCommit && r.Decision == Deny:
		return InvalidResult, "deny in post_commit: the handler has run"
	case phase != ModifyOperation && len(r.Patches) > 0:
		return InvalidResult, "patches in " + phase.String()
	case r.Decision == Deny && len(r.Patches) > 0:
		return InvalidResult, fmt.Sprintf("%d patches beside a deny", len(r.Patches))
	case r.Decision == Deny && r.StatusCode != "":
		if code, ok := codeNamed(r.StatusCode); !ok || code == codes.OK {
			return InvalidResult, fmt.Sprintf("status code %q on a deny", clip(r.StatusCode, 64))
		}
	}
	if len(r.Metadata) == 0 {
		return "", ""
	}
	if name := b.oversteps(r.Metadata); name != "" {
		return Scope, fmt.Sprintf("metadata namespace %q, which the binding may not write", clip(name, 64))
	}
	return "", ""
}

// tidy makes the result's texts valid UTF-8, so that it can be recorded.
func (r *Result) tidy() {
	if r.Reason != "" {
		r.Reason = strings.ToValidUTF8(r.Reason, "\ufffd")
	}
	if r.StatusCode != "" {
		r.StatusCode = strings.ToValidUTF8(r.StatusCode, "\ufffd")
	}
}

// size is about what the result takes on the wire.
func (r *Result) size() int {
	n := len(r.Reason) + len(r.StatusCode)
	for _, p := range r.Patches {
		n += len(p.Op) + len(p.Path) + len(p.From) + len(p.Value) + 8
	}
	if len(r.Annotations) > 0 { // else ranging over them costs a worker its small stack
		for k, v := range r.Annotations {
			n += len(k) + len(v) + 4
		}
	}
	for _, w := range r.Warnings {
		n += len(w) + 2
	}
	return n
}

// maxMessage bounds the reason that a caller is told: it travels in a header.
const maxMessage = 4 << 10

// denial returns the status of a deny. No code makes it a success.
func denial(r *Result) *status.Status {
	code, ok := codeNamed(r.StatusCode)
	if !ok || code == codes.OK {
		code = codes.PermissionDenied
	}
	message := clip(strings.TrimSpace(r.Reason), maxMessage)
	if message == "" {
		message = "operation denied by gateway interceptor" // as OpenShell says it (S45)
	}
	return status.New(code, message)
}

// codeNames are the names of the gRPC codes, by number.
var codeNames = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// codeNamed reads the name of a gRPC code, in any case and with spaces around
// it.
func codeNamed(name string) (codes.Code, bool) {
	i := slices.Index(codeNames, strings.ToUpper(strings.TrimSpace(name)))
	return codes.Code(max(i, 0)), i >= 0
}
