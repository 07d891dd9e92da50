// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A Canary is what must never be recorded: a planted secret, or the form of real
// ones. It is a second net, for what redaction should have caught.
//
// An event in which Pattern matches is refused with [ErrCanary], and in its place
// stands an event that says so: Application Error (6008), with the canary's name
// and the refused event's uid, kind and operation, never with what matched. It
// takes the sequence that the refused one would have taken. Spooled returns
// [ErrCanary] once it is durable, so that in durable mode nothing is done that
// the record does not hold.
//
// Pattern is matched against the event's bytes, and once more against every text
// that JSON writes with an escape, as what it means. It is not looked for in
// other encodings: base64 of a secret needs a pattern of its own.
type Canary struct {
	Name    string
	Pattern *regexp.Regexp
}

// checkCanaries says what is wrong with the canaries of a configuration.
func checkCanaries(list []Canary) error {
	names := map[string]bool{}
	for _, c := range list {
		switch {
		case c.Name == "" || c.Pattern == nil:
			return errors.New("configure emitter: a canary needs a name and a pattern")
		case names[c.Name]:
			return fmt.Errorf("configure emitter: two canaries are called %q", c.Name)
		case c.Pattern.MatchString(""):
			return fmt.Errorf("configure emitter: the pattern of canary %q matches everything", c.Name)
		case c.Pattern.MatchString(c.Name):
			// Its name is told where it was seen.
			return fmt.Errorf("configure emitter: the pattern of canary %q matches its name", c.Name)
		}
		names[c.Name] = true
	}
	return nil
}

// A canaryError says that an event holds what must not be recorded.
type canaryError struct{ name string }

func (e *canaryError) Error() string { return fmt.Sprintf("emit event: %v: %q", ErrCanary, e.name) }

// Unwrap returns the decision that a caller can take.
func (e *canaryError) Unwrap() error { return ErrCanary }

// sighted looks for canaries in an event's bytes.
func sighted(list []Canary, raw []byte) *canaryError {
	if len(list) == 0 {
		return nil
	}
	for i := range list {
		if list[i].Pattern.Match(raw) {
			return &canaryError{list[i].Name}
		}
	}
	return sightedEscaped(list, raw)
}

// sightedEscaped looks for canaries in the texts that are written with escapes.
func sightedEscaped(list []Canary, raw []byte) *canaryError {
	var text []byte
	for {
		escape := bytes.IndexByte(raw, '\\')
		if escape < 0 {
			return nil
		}
		// The text around it: in canonical JSON a quote without a backslash before
		// it begins or ends one.
		begin := bytes.LastIndexByte(raw[:escape], '"')
		end := escape
		for end < len(raw) && raw[end] != '"' {
			if raw[end] == '\\' {
				end++
			}
			end++
		}
		if begin < 0 || end >= len(raw) {
			return nil // cannot be: the event is JSON
		}
		var err error
		if text, err = jsontext.AppendUnquote(text[:0], raw[begin:end+1]); err != nil {
			return nil // cannot be either
		}
		for i := range list {
			if list[i].Pattern.Match(text) {
				return &canaryError{list[i].Name}
			}
		}
		raw = raw[end+1:]
	}
}

// replace puts an event in the place of e, which holds what it must not, and
// reports whether it did. It says as much of e as holds no canary itself.
func (s *sequencer) replace(e ocsf.Event, canary *canaryError) bool {
	meta := e.Common().Metadata
	refused := map[string]any{
		"canary": canary.name, "event_uid": meta.UID, "event_code": meta.EventCode, "operation_uid": meta.CorrelationUID,
	}
	if text, err := ocsf.EncodeValue(refused); err != nil || sighted(s.e.cfg.Canaries, text) != nil {
		refused = map[string]any{"canary": canary.name}
	}
	// Where even the tenant's name holds one, it is stated where what belongs to
	// no tenant goes.
	return s.own(s.replacement(meta.TenantUID, canary.name, refused), 0) ||
		s.own(s.replacement(profile.TenantDocket, canary.name, refused), 0)
}

func (s *sequencer) replacement(tenant, canary string, refused map[string]any) ocsf.Event {
	return &ocsf.ApplicationError{
		ActivityID: ocsf.ApplicationErrorGeneralError, StatusID: ocsf.StatusFailure,
		Base: ocsf.Base{
			Time: s.e.cfg.Now().UnixMilli(), SeverityID: ocsf.SeverityHigh,
			Message:      "an event was refused: canary " + canary + " was in it",
			StatusDetail: "it held what must not be recorded; the rules of redaction let it pass",
			Metadata:     ocsf.Metadata{EventCode: profile.KindLifecycle, TenantUID: tenant},
			Unmapped:     map[string]any{profile.Unmapped: map[string]any{"refused": refused}},
		},
	}
}
