// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/ocsf"
)

// inputDiff says where an evaluation shows a binding something else than it was
// shown then; nothing when it is shown the same.
func inputDiff(then *activity.Evaluation, now *interceptor.Evaluation) []string {
	found := differing("principal", shownMap(then.Principal), shownMap(now.Principal))
	found = append(found, differing("attributes", shownMap(then.Attributes), shownMap(now.Attributes))...)
	switch {
	case then.Payload == nil:
		found = append(found, "payload is not in the record: "+then.Missing)
	case then.State == nil && now.State != nil && then.Missing != "":
		found = append(found, "current state is not in the record: "+then.Missing)
		fallthrough
	default:
		found = append(found, differing("payload", shownPayload(then.Payload), shownPayload(now.Payload))...)
		if then.State != nil || then.Missing == "" {
			found = append(found, differing("current state", shownPayload(then.State), shownPayload(now.State))...)
		}
	}
	return append(found, differing("metadata", shownMap(then.Metadata), shownMap(now.Metadata))...)
}

// differing says where one part of the input differs. Both are JSON, or nil when
// there is none.
func differing(part string, then, now []byte) []string {
	switch {
	case then == nil && now == nil:
		return nil
	case then == nil || now == nil:
		return []string{fmt.Sprintf("%s is %s, was %s", part, shortly(now), shortly(then))}
	}
	var found []string
	for _, p := range jsonDiff(then, now) {
		is, was := []byte(p.Value), pointedAt(then, p.Path)
		if p.Op == "remove" {
			is = nil
		}
		found = append(found, fmt.Sprintf("%s%s is %s, was %s", part, p.Path, shortly(is), shortly(was)))
	}
	return found
}

// shownMap returns a map as JSON; one without members is as good as none.
func shownMap[V any](m map[string]V) []byte {
	if len(m) == 0 {
		return []byte("{}")
	}
	raw, err := ocsf.EncodeValue(m)
	if err != nil {
		return nil
	}
	return raw
}

func shownPayload(p *interceptor.Payload) []byte {
	if p == nil {
		return nil
	}
	raw, err := p.JSON()
	if err != nil {
		return nil
	}
	return raw
}

// pointedAt returns what a JSON Pointer points at; nil when that is nothing.
func pointedAt(raw []byte, pointer string) []byte {
	var v any
	if !decode(raw, &v) {
		return nil
	}
	if pointer != "" {
		for _, token := range strings.Split(pointer[1:], "/") {
			token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
			switch in := v.(type) {
			case map[string]any:
				member, ok := in[token]
				if !ok {
					return nil
				}
				v = member
			case []any:
				i, err := strconv.Atoi(token)
				if err != nil || i < 0 || i >= len(in) {
					return nil
				}
				v = in[i]
			default:
				return nil
			}
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return out
}

// shortly is a value as a message has it.
func shortly(raw []byte) string {
	if raw == nil {
		return "absent"
	}
	const most = 80
	if s := []rune(string(raw)); len(s) > most {
		return string(s[:most]) + "..."
	}
	return string(raw)
}
