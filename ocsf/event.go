// SPDX-License-Identifier: Apache-2.0

package ocsf

// Version is the schema version that the types of this package follow and that
// [Encode] writes to metadata.version of an event that names none.
const Version = "1.8.0"

// An Event is one OCSF event of a class that this package knows. Its concrete
// type is a pointer to a struct of that class.
type Event interface {
	// Common returns the attributes that every class has. It is never nil, and
	// it is the event's own: a change of it is a change of the event.
	Common() *Base

	class() class
}

// A class is what the schema says of a class as a whole.
type class struct {
	uid, category int32
	// activities maps activity_id to its caption.
	activities map[int32]string
	// statuses maps status_id to its caption; nil means the base event's.
	statuses map[int32]string
}

// Base holds the attributes of the base event and of the profiles
// security_control and trace. An attribute of a profile MUST be left empty
// unless metadata.profiles names the profile: a validator would not know it.
//
// Times are milliseconds since the Unix epoch (timestamp_t); Duration is in
// milliseconds.
type Base struct {
	ActivityID   int32  `json:"activity_id"`
	ActivityName string `json:"activity_name,omitzero"`
	CategoryUID  int32  `json:"category_uid"` // derived
	ClassUID     int32  `json:"class_uid"`    // derived
	TypeUID      int64  `json:"type_uid"`     // derived

	Time      int64  `json:"time"`
	StartTime int64  `json:"start_time,omitzero"`
	EndTime   int64  `json:"end_time,omitzero"`
	Duration  *int64 `json:"duration,omitzero"`

	SeverityID   int32  `json:"severity_id"`
	StatusID     int32  `json:"status_id,omitzero"`
	Status       string `json:"status,omitzero"` // derived
	StatusCode   string `json:"status_code,omitzero"`
	StatusDetail string `json:"status_detail,omitzero"`
	Message      string `json:"message,omitzero"`

	Metadata Metadata `json:"metadata"`

	// Profile security_control.
	ActionID       int32           `json:"action_id,omitzero"`
	Action         string          `json:"action,omitzero"` // derived
	DispositionID  int32           `json:"disposition_id,omitzero"`
	Disposition    string          `json:"disposition,omitzero"` // derived
	Policy         *Policy         `json:"policy,omitzero"`
	Authorizations []Authorization `json:"authorizations,omitempty"`
	IsAlert        *bool           `json:"is_alert,omitzero"`

	// Profile trace.
	Trace *Trace `json:"trace,omitzero"`

	// Unmapped holds what the schema has no attribute for. Values are anything
	// that encodes to JSON.
	Unmapped map[string]any `json:"unmapped,omitempty"`
}

// Common implements [Event].
func (b *Base) Common() *Base { return b }

// APIActivity is API Activity, class 6003.
type APIActivity struct {
	Base
	Actor       *Actor     `json:"actor,omitzero"`
	API         *API       `json:"api,omitzero"`
	AIModel     *AIModel   `json:"ai_model,omitzero"` // profile ai_operation
	Resources   []Resource `json:"resources,omitempty"`
	SrcEndpoint *Endpoint  `json:"src_endpoint,omitzero"`
	DstEndpoint *Endpoint  `json:"dst_endpoint,omitzero"`
}

// DetectionFinding is Detection Finding, class 2004.
type DetectionFinding struct {
	Base
	FindingInfo *FindingInfo `json:"finding_info,omitzero"`
	Evidences   []Evidence   `json:"evidences,omitempty"`
}

// ApplicationLifecycle is Application Lifecycle, class 6002.
type ApplicationLifecycle struct {
	Base
	App *Product `json:"app,omitzero"`
}

// EntityManagement is Entity Management, class 3004.
type EntityManagement struct {
	Base
	Actor        *Actor         `json:"actor,omitzero"`
	Comment      string         `json:"comment,omitzero"`
	Entity       *ManagedEntity `json:"entity,omitzero"`
	EntityResult *ManagedEntity `json:"entity_result,omitzero"`
}

// ApplicationError is Application Error, class 6008.
type ApplicationError struct {
	Base
}
