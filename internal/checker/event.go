// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// An Event is what the checker reads of an event's bytes.
type Event struct {
	UID, Tenant, Kind string
	Epoch, Emitter    string
	Sequence          int64
	PrevUID, Prev     string // uid and fingerprint of the event before; "" for the first
	Fingerprint       string // as computed here, which is what the event says
	Raw               []byte
	Message           string
	Lifecycle         string // start, stop, head, custody, recovery; "" for other events
	Closes            []Close
	Head              *Close // what a head or stop event states
	Payload           string // api.response.data.payload, by which clients name their events
	Custody           *Close // what a custody event gives up: Sequence is the last
	GapReason         string // why events were refused, GapCount how many
	GapCount          int64
}

// A Close states where an epoch ends, or stood.
type Close struct {
	Epoch       string
	Sequence    int64
	Fingerprint string
}

// Parse reads raw. It fails when raw is not canonical JSON with the sha256 that
// it names.
func Parse(raw []byte) (Event, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var top map[string]any
	if err := d.Decode(&top); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	if !bytes.Equal(canonical(nil, top), raw) {
		return Event{}, errors.New("parse event: the bytes are not canonical")
	}
	e := Event{
		Raw: raw, UID: text(top, "metadata", "uid"), Tenant: text(top, "metadata", "tenant_uid"), Kind: text(top, "metadata", "event_code"),
		Epoch: text(top, "metadata", "loggers", "0", "uid"), Emitter: text(top, "metadata", "loggers", "0", "name"),
		Sequence: number(top, "metadata", "sequence"), Lifecycle: text(top, "unmapped", "docket", "lifecycle"),
		Payload: text(top, "api", "response", "data", "payload"), Message: text(top, "message"),
	}
	attested := at(top, "unmapped")
	if at(top, "attestation_list") != nil { // 1.9
		attested = top
	}
	claimed := text(attested, "attestation_list", "0", "fingerprint", "value")
	e.PrevUID = text(attested, "attestation_list", "0", "prev_event", "uid")
	e.Prev = text(attested, "attestation_list", "0", "prev_event", "fingerprint", "value")
	if text(attested, "attestation_list", "0", "chain_uid") != e.Epoch {
		return Event{}, errors.New("parse event: the attestation is of another epoch")
	}
	attestation, _ := at(attested, "attestation_list", "0").(map[string]any)
	delete(attestation, "fingerprint")
	sum := sha256.Sum256(canonical(nil, top))
	if e.Fingerprint = hex.EncodeToString(sum[:]); e.Fingerprint != claimed {
		return Event{}, fmt.Errorf("parse event: its fingerprint is %s, it says %s", e.Fingerprint, claimed)
	}
	e.statements(top)
	return e, nil
}

// statements reads what an event of the emitter itself states.
func (e *Event) statements(top map[string]any) {
	docket := at(top, "unmapped", "docket")
	closes, _ := at(docket, "closes").([]any)
	for _, c := range closes {
		e.Closes = append(e.Closes, Close{text(c, "epoch"), number(c, "last_sequence"), text(c, "fingerprint")})
	}
	if h := at(docket, "head"); h != nil {
		e.Head = &Close{text(h, "epoch"), number(h, "sequence"), text(h, "fingerprint")}
	}
	if e.Lifecycle == "custody" {
		e.Custody = &Close{Epoch: text(docket, "epoch"), Sequence: number(docket, "last_sequence")}
	}
	if text(docket, "finding") == "gap" {
		e.GapReason, e.GapCount = text(docket, "reason"), number(docket, "count")
	}
}

// at walks v along path; numbers are places in lists. It returns nil where
// there is nothing.
func at(v any, path ...string) any {
	for _, step := range path {
		switch w := v.(type) {
		case map[string]any:
			v = w[step]
		case []any:
			if step != "0" || len(w) == 0 {
				return nil
			}
			v = w[0]
		default:
			return nil
		}
	}
	return v
}

func text(v any, path ...string) string {
	s, _ := at(v, path...).(string)
	return s
}

func number(v any, path ...string) int64 {
	n, _ := at(v, path...).(json.Number)
	i, _ := n.Int64() // 0 for what is none
	return i
}

// canonical appends v as RFC 8785 wants it. Numbers are kept as they were
// written: events have integers only, of which there is one form.
func canonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return fmt.Append(b, v)
	case json.Number:
		return append(b, v...)
	case string:
		return quote(b, v)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = canonical(b, item)
		}
		return append(b, ']')
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) })
		b = append(b, '{')
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(quote(b, name), ':')
			b = canonical(b, v[name])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("encoding/json made a %T", v))
}

func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			if i := strings.IndexRune("\b\t\n\f\r", r); i >= 0 {
				b = append(b, '\\', "btnfr"[i])
			} else {
				b = fmt.Appendf(b, `\u%04x`, r)
			}
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}
