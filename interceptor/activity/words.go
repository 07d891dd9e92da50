// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
)

// The values of OCSF's enumerations that the chain's facts come to.
const (
	activityUnknown, activityCreate, activityRead, activityUpdate, activityDelete, activityOther = 0, 1, 2, 3, 4, 99

	actionAllowed, actionDenied, actionObserved, actionModified = 1, 2, 3, 4

	dispositionAllowed, dispositionBlocked, dispositionCorrected, dispositionLogged, dispositionAlert, dispositionError = 1, 2, 11, 17, 19, 27

	statusSuccess, statusFailure = 1, 2

	severityInformational, severityLow, severityMedium, severityHigh = 1, 2, 3, 4

	userTypeUser, userTypeService = 1, 4
	entityTypePolicy              = 5
)

const (
	profileSecurityControl = "security_control"
	profileTrace           = "trace"

	// policyType begins policy.type; the phase follows.
	policyType = "gateway_interceptor/"
)

// verbs are the words that names of methods begin with, by what they do.
var verbs = map[string]int32{
	"Create": activityCreate, "Add": activityCreate, "Insert": activityCreate, "Register": activityCreate, "Import": activityCreate,
	"Issue": activityCreate, "Submit": activityCreate, "Upload": activityCreate, "Expose": activityCreate,
	"Get": activityRead, "List": activityRead, "Watch": activityRead, "Read": activityRead, "Describe": activityRead,
	"Search": activityRead, "Count": activityRead, "Check": activityRead, "Export": activityRead, "Query": activityRead,
	"Update": activityUpdate, "Set": activityUpdate, "Patch": activityUpdate, "Replace": activityUpdate, "Put": activityUpdate,
	"Attach": activityUpdate, "Detach": activityUpdate, "Rename": activityUpdate, "Start": activityUpdate, "Stop": activityUpdate,
	"Approve": activityUpdate, "Reject": activityUpdate, "Edit": activityUpdate, "Undo": activityUpdate, "Rotate": activityUpdate, "Refresh": activityUpdate,
	"Delete": activityDelete, "Remove": activityDelete, "Revoke": activityDelete, "Clear": activityDelete, "Purge": activityDelete, "Drop": activityDelete,
}

// activityOf returns the activity_id of a method: that of the verb which its
// name begins with. "CreateSandbox" creates, "Createsandbox" says nothing.
func activityOf(method string) int32 {
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
		return activityUnknown
	}
	return activityOther
}

// effect returns action_id and disposition_id of a decision.
func effect(d interceptor.Decision) (action, disposition int32) {
	switch d {
	case interceptor.Allow:
		return actionAllowed, dispositionAllowed
	case interceptor.Deny:
		return actionDenied, dispositionBlocked
	case interceptor.Modify:
		return actionModified, dispositionCorrected
	default:
		return actionObserved, dispositionLogged
	}
}

// decisionOf is the inverse of effect.
func decisionOf(action int32) interceptor.Decision {
	switch action {
	case actionAllowed:
		return interceptor.Allow
	case actionDenied:
		return interceptor.Deny
	case actionModified:
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
	case interceptor.InvalidResult:
		return codes.Internal, "INVALID_RESULT"
	}
	return c, codeName(c)
}
