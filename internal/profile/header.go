// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"fmt"
)

// A Header is what Docket reads out of an event's bytes: the values of the
// typed columns beside `_raw`, and no more. [Parse] derives it from the bytes
// alone, so that a store that holds both can be caught lying.
//
// The json tags are the column names, in every store.
type Header struct {
	MetadataUID  string `json:"metadata_uid"`
	Time         int64  `json:"time"` // ms since the epoch
	Tenant       string `json:"tenant"`
	Kind         string `json:"kind"`     // metadata.event_code
	Decision     string `json:"decision"` // allow, deny, modify, none: the effect on the operation
	ClassUID     int32  `json:"class_uid"`
	TypeUID      int64  `json:"type_uid"`
	ActivityID   int32  `json:"activity_id"`
	SeverityID   int32  `json:"severity_id"`
	StatusID     int32  `json:"status_id"`
	StatusCode   string `json:"status_code"`
	StatusDetail string `json:"status_detail"`
	Message      string `json:"message"`

	OperationUID  string `json:"operation_uid"`  // metadata.correlation_uid
	EvaluationUID string `json:"evaluation_uid"` // api.request.uid of evaluation, result, failure
	TraceUID      string `json:"trace_uid"`
	Service       string `json:"service"`
	Method        string `json:"method"`
	Principal     string `json:"principal"` // actor.user.uid, else actor.app_uid, else actor.app_name
	Source        string `json:"source"`    // src_endpoint.ip

	Interceptor   string `json:"interceptor"` // policy.name
	Binding       string `json:"binding"`     // policy.uid
	Phase         string `json:"phase"`
	FailureKind   string `json:"failure_kind"`
	FailurePolicy string `json:"failure_policy"`
	PlanDigest    string `json:"plan_digest"`
	ReplayGrade   string `json:"replay_grade"`
	Ran           bool   `json:"ran"`         // an outcome: the handler was called
	DurationMS    int64  `json:"duration_ms"` // duration

	Emitter         string `json:"emitter"` // metadata.loggers[0].name
	Epoch           string `json:"epoch"`   // metadata.loggers[0].uid
	Sequence        int64  `json:"sequence"`
	Fingerprint     string `json:"fingerprint"`      // lower-case hex SHA-256
	PrevFingerprint string `json:"prev_fingerprint"` // of the event before it in the hash chain; "" for the first
}

// ErrName says that an event has a name that no event may enter with.
var ErrName = errors.New("not a name for an event")

// MaxSequence is how far an epoch may count: ten thousand events a second for
// three years. An event that claims more was not counted.
const MaxSequence = 1 << 40

// Admit says whether an event with header h may enter: its uid and its epoch
// are names of keys, files and lines of text further on, so that they must be
// UUIDs in the one canonical form, and its sequence must be one that can have
// been counted. Emitters seal no other, collectors store no other. [Parse]
// reads what is stored whatever it is called.
//
// The uid of the operation is the caller's, and is nothing but text everywhere.
func (h *Header) Admit() error {
	switch {
	case !IsUID(h.MetadataUID):
		return fmt.Errorf("%w: metadata.uid is %.80q, not a UUID", ErrName, h.MetadataUID)
	case !IsUID(h.Epoch):
		return fmt.Errorf("%w: the epoch is %.80q, not a UUID", ErrName, h.Epoch)
	case h.Sequence < 1 || h.Sequence > MaxSequence:
		return fmt.Errorf("%w: sequence %d is beyond %d", ErrName, h.Sequence, int64(MaxSequence))
	}
	return nil
}

// IsUID reports whether s is a UUID as text: 36 characters, lower-case hex.
func IsUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	dashes, strange := 0, byte(0)
	for i := range len(s) {
		if s[i] == '-' {
			dashes++
			continue
		}
		strange |= strangers[s[i]]
	}
	return dashes == 4 && strange == 0
}
