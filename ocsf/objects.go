// SPDX-License-Identifier: Apache-2.0

package ocsf

// Metadata is the metadata object.
type Metadata struct {
	UID            string     `json:"uid,omitzero"`
	Version        string     `json:"version"`
	Product        *Product   `json:"product,omitzero"`
	Profiles       []string   `json:"profiles"`
	EventCode      string     `json:"event_code,omitzero"`
	CorrelationUID string     `json:"correlation_uid,omitzero"`
	TenantUID      string     `json:"tenant_uid,omitzero"`
	Sequence       int64      `json:"sequence,omitzero"`
	Loggers        []Logger   `json:"loggers,omitempty"`
	Labels         []string   `json:"labels,omitempty"`
	Tags           []KeyValue `json:"tags,omitempty"`
	IsTruncated    *bool      `json:"is_truncated,omitzero"`
	// UntruncatedSize is in kilobytes.
	UntruncatedSize int64 `json:"untruncated_size,omitzero"`
}

// Logger is one hop of an event's way, the logger object.
type Logger struct {
	UID      string `json:"uid,omitzero"`
	Name     string `json:"name,omitzero"`
	EventUID string `json:"event_uid,omitzero"`
}

// Product is the product object.
type Product struct {
	Name       string `json:"name,omitzero"`
	UID        string `json:"uid,omitzero"`
	VendorName string `json:"vendor_name,omitzero"`
	Version    string `json:"version,omitzero"`
}

// KeyValue is the key_value_object.
type KeyValue struct {
	Name   string   `json:"name"`
	Value  string   `json:"value,omitzero"`
	Values []string `json:"values,omitempty"`
}

// Actor is the actor object. At least one attribute MUST be set.
type Actor struct {
	AppName string   `json:"app_name,omitzero"`
	AppUID  string   `json:"app_uid,omitzero"`
	Session *Session `json:"session,omitzero"`
	User    *User    `json:"user,omitzero"`
}

// Session is the session object.
type Session struct {
	UID    string `json:"uid,omitzero"`
	Issuer string `json:"issuer,omitzero"`
}

// User is the user object.
type User struct {
	UID    string  `json:"uid,omitzero"`
	Name   string  `json:"name,omitzero"`
	TypeID int32   `json:"type_id,omitzero"`
	Type   string  `json:"type,omitzero"` // derived
	Groups []Group `json:"groups,omitempty"`
}

// Group is the group object.
type Group struct {
	UID  string `json:"uid,omitzero"`
	Name string `json:"name,omitzero"`
}

// API is the api object. Operation is required.
type API struct {
	Operation string       `json:"operation"`
	Request   *APIRequest  `json:"request,omitzero"`
	Response  *APIResponse `json:"response,omitzero"`
	Service   *Service     `json:"service,omitzero"`
	Version   string       `json:"version,omitzero"`
}

// APIRequest is the request object. UID is required. Data is any JSON value.
type APIRequest struct {
	UID   string   `json:"uid"`
	Data  any      `json:"data,omitempty"`
	Flags []string `json:"flags,omitempty"`
}

// APIResponse is the response object. Data is any JSON value.
type APIResponse struct {
	Code         *int32   `json:"code,omitzero"`
	Data         any      `json:"data,omitempty"`
	Error        string   `json:"error,omitzero"`
	ErrorMessage string   `json:"error_message,omitzero"`
	Message      string   `json:"message,omitzero"`
	Flags        []string `json:"flags,omitempty"`
}

// Service is the service object.
type Service struct {
	Name    string `json:"name,omitzero"`
	UID     string `json:"uid,omitzero"`
	Version string `json:"version,omitzero"`
}

// AIModel is the ai_model object.
type AIModel struct {
	AIProvider string `json:"ai_provider"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitzero"`
}

// Endpoint is the network_endpoint object, for source and destination.
type Endpoint struct {
	IP       string `json:"ip,omitzero"`
	Port     int32  `json:"port,omitzero"`
	Hostname string `json:"hostname,omitzero"`
	Name     string `json:"name,omitzero"`
	SvcName  string `json:"svc_name,omitzero"`
	UID      string `json:"uid,omitzero"`
}

// Resource is the resource_details object.
type Resource struct {
	Name   string   `json:"name,omitzero"`
	UID    string   `json:"uid,omitzero"`
	Type   string   `json:"type,omitzero"`
	RoleID int32    `json:"role_id,omitzero"`
	Labels []string `json:"labels,omitempty"`
}

// Policy is the policy object. Data is any JSON value.
type Policy struct {
	UID       string `json:"uid,omitzero"`
	Name      string `json:"name,omitzero"`
	Version   string `json:"version,omitzero"`
	Type      string `json:"type,omitzero"`
	IsApplied *bool  `json:"is_applied,omitzero"`
	Data      any    `json:"data,omitempty"`
}

// Authorization is the authorization object.
type Authorization struct {
	Decision string  `json:"decision,omitzero"`
	Policy   *Policy `json:"policy,omitzero"`
}

// Trace is the trace object; UID is a W3C trace id in lower-case hex.
type Trace struct {
	UID  string `json:"uid"`
	Span *Span  `json:"span,omitzero"`
}

// Span is the span object; UID is a W3C span id in lower-case hex.
type Span struct {
	UID       string `json:"uid"`
	ParentUID string `json:"parent_uid,omitzero"`
	Operation string `json:"operation,omitzero"`
	StartTime int64  `json:"start_time"`
	EndTime   int64  `json:"end_time"`
}

// ManagedEntity is the managed_entity object.
type ManagedEntity struct {
	Name    string  `json:"name,omitzero"`
	UID     string  `json:"uid,omitzero"`
	TypeID  int32   `json:"type_id,omitzero"`
	Type    string  `json:"type,omitzero"` // derived
	Version string  `json:"version,omitzero"`
	Policy  *Policy `json:"policy,omitzero"`
	// Data is any JSON value.
	Data any `json:"data,omitempty"`
}

// FindingInfo is the finding_info object. UID is required.
type FindingInfo struct {
	UID                string         `json:"uid"`
	Title              string         `json:"title,omitzero"`
	Desc               string         `json:"desc,omitzero"`
	Types              []string       `json:"types,omitempty"`
	CreatedTime        int64          `json:"created_time,omitzero"`
	RelatedEvents      []RelatedEvent `json:"related_events,omitempty"`
	RelatedEventsCount int64          `json:"related_events_count,omitzero"`
}

// RelatedEvent is the related_event object. UID is required.
type RelatedEvent struct {
	UID     string `json:"uid"`
	TypeUID int64  `json:"type_uid,omitzero"`
}

// Evidence is the evidences object. Data is any JSON value; at least one
// attribute MUST be set.
type Evidence struct {
	API   *API   `json:"api,omitzero"`
	Actor *Actor `json:"actor,omitzero"`
	Data  any    `json:"data,omitempty"`
}
