// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// A Foreign is an event of another producer as one of ours, not yet sealed.
type Foreign struct {
	Event  ocsf.Event
	UID    string
	Time   int64 // ms
	Size   int   // bytes of what it was made of
	Issues int   // by which it does not conform to its version of the schema
	// Timeless says that it named no time; Time is then that of now, and no part of
	// its uid.
	Timeless bool
	// Wrapped says that it fits no class as it is: it is the raw data of an
	// application error.
	Wrapped bool

	// File and Line say where it was read, for what is told about it.
	File string
	Line int64
}

// A Converter makes events of ours. It may be used by one goroutine at a time.
type Converter struct {
	tenant     string // "" is each event's own
	version    string // for events that name none that is known
	now        func() time.Time
	validators map[string]*ocsf.Validator
}

// NewConverter returns a converter into tenant; "" leaves each event the tenant
// that it names, or [profile.TenantDefault]. Events that name no version of OCSF
// that is known are judged by version.
func NewConverter(tenant, version string, now func() time.Time) *Converter {
	if version == "" {
		version = schema.Default
	}
	return &Converter{tenant: tenant, version: version, now: now, validators: map[string]*ocsf.Validator{}}
}

// maxIssues bounds how many issues an event names.
const maxIssues = 20

// Convert makes an event of the JSON of one. It fails on what is no JSON object:
// there is nothing of it that could be an event.
func (c *Converter) Convert(data []byte) (*Foreign, error) {
	e, err := ocsf.Decode(data)
	var syntax *ocsf.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("invalid JSON at byte %d of the event: %s", syntax.Offset, syntax.Reason)
	case len(data) == 0 || data[0] != '{':
		return nil, errors.New("it is no object")
	case err == nil:
		var f *Foreign
		if f, err = c.typed(e, data); err == nil {
			return f, nil
		}
	}
	return c.wrapped(data, err)
}

// typed makes an event of ours of one that fits its class.
func (c *Converter) typed(e ocsf.Event, data []byte) (*Foreign, error) {
	b := e.Common()
	if b.Time <= 0 || b.ClassUID <= 0 {
		return nil, errors.New("it has no time, or no class")
	}
	if b.TypeUID == 0 {
		return nil, errors.New("it has no type_uid")
	}
	about := map[string]any{}
	issues := c.judge(data, b.Metadata.Version, about)
	tenant, original := c.move(b, data)
	if len(original) > 0 {
		about["original"] = original
	}
	f := &Foreign{Event: e, Time: b.Time, Size: len(data), Issues: issues}
	if err := c.finish(f, tenant, data, about); err != nil {
		return nil, err
	}
	return f, nil
}

// move takes out of an event what ours has in the same place, and returns its
// tenant and what was moved.
func (c *Converter) move(b *ocsf.Base, data []byte) (tenant string, original map[string]any) {
	m := &b.Metadata
	original = map[string]any{}
	if m.UID != "" {
		if m.OriginalEventUID == "" {
			m.OriginalEventUID = m.UID
		} else {
			original["uid"] = m.UID
		}
	}
	if m.EventCode != "" {
		original["event_code"] = m.EventCode
	}
	if m.Sequence != nil {
		original["sequence"] = *m.Sequence
	}
	if raw := member(member(data, "metadata"), "loggers"); raw != nil {
		original["loggers"] = ocsf.Raw(raw)
	}
	if raw := member(data, "attestation_list"); raw != nil {
		original["attestation_list"] = ocsf.Raw(raw)
		b.AttestationList = nil
	}
	unmapped := map[string]any{}
	for name, v := range b.Unmapped {
		if name == profile.Unmapped || name == "attestation_list" {
			original["unmapped_"+name] = v
			continue
		}
		unmapped[name] = v
	}
	b.Unmapped = unmapped
	tenant = c.tenant
	if tenant == "" && m.TenantUID != profile.TenantDocket { // which is ours
		tenant = m.TenantUID
	}
	if tenant == "" {
		tenant = profile.TenantDefault
	}
	if m.TenantUID != "" && m.TenantUID != tenant {
		original["tenant_uid"] = m.TenantUID
	}
	version := writtenAs(m.Version)
	if m.Version != version {
		original["version"] = m.Version
	}
	m.Version = version
	if m.Product == nil {
		m.Product = &ocsf.Product{Name: "unknown"} // else it would be said to be ours
	}
	return tenant, original
}

// writtenAs returns the version that an event of a version is written in: of
// those that Docket writes, the newest that is not newer.
func writtenAs(version string) string {
	versions := profile.Versions()
	if slices.Contains(versions, version) {
		return version
	}
	return versions[0]
}

// judge validates an event and notes what it finds in about.
func (c *Converter) judge(data []byte, version string, about map[string]any) int {
	by := version
	if !slices.Contains(schema.Versions(), by) {
		by = c.version
	}
	about["judged_by"] = by
	v := c.validators[by]
	if v == nil {
		var err error
		if v, err = ocsf.NewValidator(by, ocsf.ModeServer, ocsf.ValidateOptions{}); err != nil {
			about["conformant"] = false
			return 1
		}
		c.validators[by] = v
	}
	report, err := v.Validate(data)
	if err != nil {
		about["conformant"], about["issues"] = false, []any{map[string]any{"code": "not_judged", "path": "", "message": err.Error()}}
		return 1
	}
	about["conformant"] = report.Valid()
	if report.Valid() {
		return 0
	}
	var issues []any
	for _, i := range report.Errors[:min(len(report.Errors), maxIssues)] {
		issues = append(issues, map[string]any{"code": i.Code, "path": i.Path})
	}
	about["issues"] = issues
	return len(report.Errors)
}

// finish gives an event what ours must have, and sees whether it can be sealed.
func (c *Converter) finish(f *Foreign, tenant string, data []byte, about map[string]any) error {
	b := f.Event.Common()
	f.UID = UID(tenant, f.Time, data)
	if f.Timeless {
		f.UID = UID(tenant, 0, data)
	}
	b.Metadata.UID, b.Metadata.EventCode, b.Metadata.TenantUID = f.UID, profile.KindForeign, tenant
	unmapped := map[string]any{}
	for name, v := range b.Unmapped {
		unmapped[name] = v
	}
	unmapped[profile.Unmapped] = map[string]any{"ingest": about}
	b.Unmapped = unmapped
	_, _, err := profile.SealHeader(f.Event, profile.Link{Emitter: "x", Epoch: f.UID, Sequence: 1})
	return err
}

// wrapped makes an application error of what no event of its class can be made
// of, with the exact bytes as its raw data.
func (c *Converter) wrapped(data []byte, why error) (*Foreign, error) {
	about := map[string]any{}
	f := &Foreign{Time: c.now().UnixMilli(), Size: len(data), Wrapped: true}
	f.Issues = max(c.judge(data, "", about), 1)
	about["conformant"], about["wrapped"] = false, fmt.Sprintf("%.300s", why)
	if t, ok := timeOf(data); ok {
		f.Time = t
	} else {
		f.Timeless = true
	}
	tenant := c.tenant
	if tenant == "" {
		tenant = profile.TenantDefault
	}
	size := int64(len(data))
	f.Event = &ocsf.ApplicationError{
		ActivityID: ocsf.ApplicationErrorActivityID(1),
		Base: ocsf.Base{
			Time: f.Time, SeverityID: ocsf.SeverityMedium, Message: "a foreign event that fits no class as it is: " + fmt.Sprintf("%.300s", why),
			RawData: string(bytes.ToValidUTF8(data, []byte("\uFFFD"))), RawDataSize: &size,
			Metadata: ocsf.Metadata{Version: profile.Versions()[0], Product: &ocsf.Product{Name: "unknown"}},
		},
	}
	if err := c.finish(f, tenant, data, about); err != nil {
		return nil, err
	}
	return f, nil
}

// timeOf returns the time of an event of which nothing else may be right.
func timeOf(data []byte) (int64, bool) {
	n, ok := number(data, "time")
	return n, ok && n > 0 && n <= profile.MaxInteger
}

// UID returns the uid of a foreign event: a UUID of version 8, the first 48 bits
// of which are its time, as in those of version 7, and the others follow from the
// tenant and the content, whatever its white space and the order of its members.
func UID(tenant string, ms int64, data []byte) string {
	content, err := ocsf.Canonicalize(data)
	if err != nil { // a number that canonical JSON has no form for
		content = data
	}
	h := sha256.New()
	fmt.Fprintf(h, "docket ingest 1\n%d %s\n", len(tenant), tenant)
	h.Write(content)
	var u uuid.UUID
	copy(u[6:], h.Sum(nil))
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return strings.ToLower(u.String())
}
