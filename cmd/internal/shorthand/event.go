// SPDX-License-Identifier: Apache-2.0

package shorthand

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// An object is a JSON object, of whoever's event: nothing in it need be of the
// type that the schema says.
type object map[string]any

func parse(raw []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var o object
	if err := dec.Decode(&o); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return o, nil
}

// in returns the object at a path, nil where there is none.
func (o object) in(path ...string) object {
	for _, name := range path {
		m, ok := o[name].(map[string]any)
		if !ok {
			return nil
		}
		o = m
	}
	return o
}

// text returns a member that is a text, and whether it is one.
func (o object) text(name string) (string, bool) {
	s, ok := o[name].(string)
	return s, ok
}

// or returns a member that is a text, or something else.
func (o object) or(name, otherwise string) string {
	if s, ok := o.text(name); ok {
		return s
	}
	return otherwise
}

// number returns a member as it is written, if it is a number.
func (o object) number(name string) (string, bool) {
	n, ok := o[name].(json.Number)
	return n.String(), ok
}

func (o object) id(name string) (int64, bool) {
	s, ok := o.number(name)
	n, err := strconv.ParseInt(s, 10, 64)
	return n, ok && err == nil
}

// label is the caption of an enumerated attribute: that of its number, or else
// what stands beside it; "" where there is neither.
func (o object) label(name string, captions map[int64]string) string {
	if id, ok := o.id(name + "_id"); ok {
		if caption, ok := captions[id]; ok {
			return caption
		}
	}
	return o.or(name, "")
}

var (
	actions    = map[int64]string{0: "Unknown", 1: "Allowed", 2: "Denied", 3: "Observed", 4: "Modified", 99: "Other"}
	statuses   = map[int64]string{0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}
	states     = map[int64]string{0: "Unknown", 1: "Disabled", 2: "Enabled", 99: "Other"}
	confidence = map[int64]string{0: "Unknown", 1: "Low", 2: "Medium", 3: "High", 99: "Other"}
	severities = map[int64]string{2: "[LOW]", 3: "[MED]", 4: "[HIGH]", 5: "[CRIT]", 6: "[FATAL]"}
	outcomes   = map[int64]string{
		0: "Unknown", 1: "Allowed", 2: "Blocked", 3: "Quarantined", 4: "Isolated", 5: "Deleted", 6: "Dropped", 7: "Custom Action", 8: "Approved",
		9: "Restored", 10: "Exonerated", 11: "Corrected", 12: "Partially Corrected", 13: "Uncorrected", 14: "Delayed", 15: "Detected",
		16: "No Action", 17: "Logged", 18: "Tagged", 19: "Alert", 20: "Count", 21: "Reset", 22: "Captcha", 23: "Challenge", 24: "Access Revoked",
		25: "Rejected", 26: "Unauthorized", 27: "Error", 99: "Other",
	}
)

func (o object) severity() string {
	id, _ := o.id("severity_id")
	if tag := severities[id]; tag != "" {
		return tag
	}
	return "[INFO]"
}

func (o object) activity() string { return prose(strings.ToUpper(o.or("activity_name", "UNKNOWN"))) }

func (o object) action() string { return prose(strings.ToUpper(o.label("action", actions))) }

func (o object) denied() bool { return strings.EqualFold(o.label("action", actions), "Denied") }

// process is name(pid), "" where there is none.
func process(p object) string {
	if p == nil {
		return ""
	}
	pid, ok := p.number("pid")
	if !ok {
		pid = p.or("pid", "0")
	}
	return word(p.or("name", "unknown")) + "(" + word(pid) + ")"
}

// endpoint is host[:port], "" where there is none.
func endpoint(e object) string {
	if e == nil {
		return ""
	}
	host, ok := e.text("domain")
	if !ok {
		host, ok = e.text("hostname")
	}
	if !ok {
		host = e.or("ip", "unknown")
	}
	s := word(host)
	if port, ok := e.number("port"); ok {
		s += ":" + port
	}
	return s
}

// rule is which policy, and by which engine.
func (o object) rule() string {
	r := o.in("firewall_rule")
	if r == nil {
		return ""
	}
	return " [policy:" + word(r.or("name", "")) + " engine:" + word(r.or("type", "")) + "]"
}

// reason is why, "" where nobody says.
func (o object) reason() string {
	text, ok := o.text("status_detail")
	if !ok {
		text = o.or("message", "")
	}
	return prose(cut(oneLine(text), maxReason))
}

func (o object) reasonTag() string {
	if r := o.reason(); r != "" {
		return " [reason:" + r + "]"
	}
	return ""
}

func (o object) messageTag() string {
	text := o.or("message", "")
	if text == "" {
		return ""
	}
	return " [msg:" + prose(cut(oneLine(text), maxMessage)) + "]"
}

// unmapped are the plain values that the schema has no place for.
func (o object) unmapped() []string {
	var fields []string
	u := o.in("unmapped")
	for _, key := range slices.Sorted(maps.Keys(u)) {
		var value string
		switch v := u[key].(type) {
		case bool:
			value = strconv.FormatBool(v)
		case json.Number:
			value = v.String()
		case string:
			value = word(cut(v, maxReason))
		default:
			continue
		}
		fields = append(fields, word(key)+":"+value)
	}
	return fields
}

func context(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return " [" + strings.Join(fields, " ") + "]"
}
