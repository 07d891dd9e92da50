// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

const (
	profileSecurityControl = "security_control"
	profileTrace           = "trace"
	profileAIOperation     = "ai_operation"

	// policyType begins policy.type; the phase follows.
	policyType = "gateway_interceptor/"
)

// verbs are the words that names of methods begin with, by what they do.
var verbs = map[string]ocsf.APIActivityActivityID{
	"Create": ocsf.APIActivityCreate, "Add": ocsf.APIActivityCreate, "Insert": ocsf.APIActivityCreate, "Register": ocsf.APIActivityCreate, "Import": ocsf.APIActivityCreate,
	"Issue": ocsf.APIActivityCreate, "Submit": ocsf.APIActivityCreate, "Upload": ocsf.APIActivityCreate, "Expose": ocsf.APIActivityCreate,
	"Get": ocsf.APIActivityRead, "List": ocsf.APIActivityRead, "Watch": ocsf.APIActivityRead, "Read": ocsf.APIActivityRead, "Describe": ocsf.APIActivityRead,
	"Search": ocsf.APIActivityRead, "Count": ocsf.APIActivityRead, "Check": ocsf.APIActivityRead, "Export": ocsf.APIActivityRead, "Query": ocsf.APIActivityRead,
	"Update": ocsf.APIActivityUpdate, "Set": ocsf.APIActivityUpdate, "Patch": ocsf.APIActivityUpdate, "Replace": ocsf.APIActivityUpdate, "Put": ocsf.APIActivityUpdate,
	"Attach": ocsf.APIActivityUpdate, "Detach": ocsf.APIActivityUpdate, "Rename": ocsf.APIActivityUpdate, "Start": ocsf.APIActivityUpdate, "Stop": ocsf.APIActivityUpdate,
	"Approve": ocsf.APIActivityUpdate, "Reject": ocsf.APIActivityUpdate, "Edit": ocsf.APIActivityUpdate, "Undo": ocsf.APIActivityUpdate, "Rotate": ocsf.APIActivityUpdate, "Refresh": ocsf.APIActivityUpdate,
	"Delete": ocsf.APIActivityDelete, "Remove": ocsf.APIActivityDelete, "Revoke": ocsf.APIActivityDelete, "Clear": ocsf.APIActivityDelete, "Purge": ocsf.APIActivityDelete, "Drop": ocsf.APIActivityDelete,
}

// activityOf returns the activity_id of a method: that of the verb which its
// name begins with. "CreateSandbox" creates, "Createsandbox" says nothing.
func activityOf(method string) ocsf.APIActivityActivityID {
	end := len(method)
	for i := 1; i < len(method); i++ {
		if c := method[i]; c < 'a' || c > 'z' {
			end = i
			break
		}
	}
	if id, ok := verbs[method[:end]]; ok {
		return id
	}
	if method == "" {
		return ocsf.APIActivityUnknown
	}
	return ocsf.APIActivityOther
}

// effect returns action_id and ocsf.Disposition_id of a decision.
func effect(d interceptor.Decision) (ocsf.ActionID, ocsf.DispositionID) {
	switch d {
	case interceptor.Allow:
		return ocsf.ActionAllowed, ocsf.DispositionAllowed
	case interceptor.Deny:
		return ocsf.ActionDenied, ocsf.DispositionBlocked
	case interceptor.Modify:
		return ocsf.ActionModified, ocsf.DispositionCorrected
	default:
		return ocsf.ActionObserved, ocsf.DispositionLogged
	}
}

// decisionOf is the inverse of effect.
func decisionOf(action ocsf.ActionID) interceptor.Decision {
	switch action {
	case ocsf.ActionAllowed:
		return interceptor.Allow
	case ocsf.ActionDenied:
		return interceptor.Deny
	case ocsf.ActionModified:
		return interceptor.Modify
	default:
		return interceptor.None
	}
}

// codeNames are the names of the gRPC codes, by number.
var codeNames = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// codeName returns the name of a code; one that gRPC does not know is UNKNOWN,
// as clients read it.
func codeName(c codes.Code) string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "UNKNOWN"
}

func codeNamed(name string) (codes.Code, bool) {
	i := slices.Index(codeNames, name)
	return codes.Code(max(i, 0)), i >= 0
}

// denialCode returns the code that a deny with this status code is answered
// with: no code makes it a success.
func denialCode(name string) codes.Code {
	c, ok := codeNamed(strings.ToUpper(strings.TrimSpace(name)))
	if !ok || c == codes.OK {
		return codes.PermissionDenied
	}
	return c
}

// failureCode returns the code that tells a failure's kind best, and its name
// in the record.
func failureCode(k interceptor.FailureKind) (codes.Code, string) {
	c := codes.Unknown
	switch k {
	case interceptor.Timeout:
		c = codes.DeadlineExceeded
	case interceptor.Unavailable:
		c = codes.Unavailable
	case interceptor.Limit:
		c = codes.ResourceExhausted
	case interceptor.Cancelled:
		c = codes.Canceled
	case interceptor.Panic:
		c = codes.Internal
	case interceptor.Scope:
		c = codes.PermissionDenied
	case interceptor.InvalidResult:
		return codes.Internal, "INVALID_RESULT"
	}
	return c, codeName(c)
}

// phaseNamed is the UnmarshalText of a phase, and decisionNamed that of a decision. They
// know the words without memory for each, and leave it to the others what is none.
func phaseNamed(name string) (interceptor.Phase, error) {
	if p, ok := phases[name]; ok {
		return p, nil
	}
	var p interceptor.Phase
	err := p.UnmarshalText([]byte(name))
	return p, err
}

func decisionNamed(name string) (interceptor.Decision, error) {
	if d, ok := decisions[name]; ok {
		return d, nil
	}
	var d interceptor.Decision
	err := d.UnmarshalText([]byte(name))
	return d, err
}

var (
	phases = map[string]interceptor.Phase{
		interceptor.ModifyOperation.String(): interceptor.ModifyOperation,
		interceptor.Validate.String():        interceptor.Validate,
		interceptor.PostCommit.String():      interceptor.PostCommit,
	}
	decisions = map[string]interceptor.Decision{
		interceptor.None.String(): interceptor.None, interceptor.Allow.String(): interceptor.Allow,
		interceptor.Deny.String(): interceptor.Deny, interceptor.Modify.String(): interceptor.Modify,
	}
)
