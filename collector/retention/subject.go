// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A Subject is whom events are about: a user. The zero value is nobody in
// particular.
type Subject struct {
	name   string
	quoted []byte // as it stands in canonical JSON
}

// ParseSubject reads "user:NAME". An event is about that user when an object
// `user` of OCSF in it, such as actor.user, has NAME as its uid, name, full name
// or e-mail address; what free-form attributes hold is not looked at.
func ParseSubject(s string) (Subject, error) {
	name, ok := strings.CutPrefix(s, "user:")
	if !ok || name == "" {
		return Subject{}, fmt.Errorf("%q is no subject such as \"user:alice\"", s)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(name); err != nil {
		return Subject{}, fmt.Errorf("read subject: %w", err)
	}
	return Subject{name, bytes.TrimSpace(b.Bytes())}, nil
}

func (s Subject) String() string {
	if s.name == "" {
		return ""
	}
	return "user:" + s.name
}

// IsZero reports whether it is nobody in particular.
func (s Subject) IsZero() bool { return s.name == "" }

// Name returns the name alone.
func (s Subject) Name() string { return s.name }

// MarshalText implements encoding.TextMarshaler.
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Subject) UnmarshalText(b []byte) (err error) {
	*s = Subject{}
	if len(b) > 0 {
		*s, err = ParseSubject(string(b))
	}
	return err
}

// Of reports whether an event, given by its canonical bytes, is about s.
func (s Subject) Of(raw []byte) bool {
	if !bytes.Contains(raw, s.quoted) {
		return false
	}
	var event map[string]any
	return json.Unmarshal(raw, &event) == nil && s.in(event)
}

// Free-form attributes hold what callers sent.
var freeForm = map[string]bool{"data": true, "unmapped": true}

func (s Subject) in(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if user, ok := value.(map[string]any); ok && key == "user" && s.is(user) {
				return true
			}
			if !freeForm[key] && s.in(value) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if s.in(value) {
				return true
			}
		}
	}
	return false
}

func (s Subject) is(user map[string]any) bool {
	for _, key := range []string{"uid", "name", "full_name", "email_addr", "uid_alt"} {
		if user[key] == s.name {
			return true
		}
	}
	return false
}

// A Selection is of which events something is to be: all fields that are given
// must fit.
type Selection struct {
	Tenant    string  `json:"tenant,omitempty"`
	Subject   Subject `json:"subject,omitzero"`
	Operation string  `json:"operation,omitempty"` // its uid
	Since     int64   `json:"since,omitempty"`     // ms; Since <= time < Until of the event, 0 is open
	Until     int64   `json:"until,omitempty"`
}

// IsZero reports whether nothing is given, so that it would be of everything.
func (s *Selection) IsZero() bool {
	return s.Tenant == "" && s.Subject.IsZero() && s.Operation == "" && s.Since == 0 && s.Until == 0
}

// Equal reports whether both are of the same.
func (s Selection) Equal(o Selection) bool {
	return s.Tenant == o.Tenant && s.Subject.name == o.Subject.name && s.Operation == o.Operation && s.Since == o.Since && s.Until == o.Until
}

// A Row is what a selection looks at.
type Row struct {
	Tenant, Operation string
	Time              int64
	Raw               []byte
}

// Has reports whether a row is selected.
func (s *Selection) Has(r *Row) bool {
	return (s.Tenant == "" || s.Tenant == r.Tenant) && (s.Since == 0 || r.Time >= s.Since) && (s.Until == 0 || r.Time < s.Until) &&
		(s.Operation == "" || s.Operation == r.Operation) && (s.Subject.IsZero() || s.Subject.Of(r.Raw))
}

// May reports whether any row of a tenant with times from lo to hi can be
// selected; All whether every one is.
func (s *Selection) May(tenant string, lo, hi int64) bool {
	return (s.Tenant == "" || s.Tenant == tenant) && (s.Since == 0 || hi >= s.Since) && (s.Until == 0 || lo < s.Until)
}

// All reports whether every row of a tenant with times from lo to hi is
// selected, whatever else it says.
func (s *Selection) All(tenant string, lo, hi int64) bool {
	return s.May(tenant, lo, hi) && s.Subject.IsZero() && s.Operation == "" && lo >= s.Since && (s.Until == 0 || hi < s.Until)
}

// An Erasure is an order to erase events.
type Erasure struct {
	Selection
	// Reference is what the operator calls the reason. It is told in an event and
	// stays in the ledger's statements, so it MUST NOT name the subject.
	Reference string `json:"reference,omitempty"`
	By        string `json:"by,omitempty"` // who gives the order
	DryRun    bool   `json:"dry_run,omitempty"`
}

// ErrNamed says that a reference names whom it must not.
var ErrNamed = errors.New("the reason names the subject, and would stay")

// named reports whether a text that stays names the subject.
func (s Subject) named(texts ...string) bool {
	return !s.IsZero() && strings.Contains(strings.ToLower(strings.Join(texts, " ")), strings.ToLower(s.name))
}

// Validate says what is wrong with e.
func (e *Erasure) Validate() error {
	switch {
	case e.Subject.IsZero() && e.Tenant == "" && e.Operation == "":
		return &OrderError{"", errors.New("erase: say whose events: a subject or a tenant")}
	case e.Until != 0 && e.Until <= e.Since:
		return &OrderError{"until", errors.New("erase: the time range is empty")}
	case e.Subject.named(e.Reference, e.By):
		return &OrderError{"reference", fmt.Errorf("erase: %w", ErrNamed)}
	}
	return nil
}
