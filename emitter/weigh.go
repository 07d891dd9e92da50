// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/ocsf"
)

// weighValue estimates the text of a free-form JSON value. What lies deeper
// than any honest payload counts little; its encoding will refuse it.
func weighValue(v any, depth int) int64 {
	const scalar, entry = 16, 8
	if depth > 64 {
		return scalar
	}
	switch v := v.(type) {
	case string:
		return scalar + int64(len(v))
	case []byte:
		return scalar + int64(len(v))
	case json.RawMessage:
		return scalar + int64(len(v))
	case ocsf.Raw:
		return scalar + int64(len(v))
	case ocsf.Canonical:
		return scalar + int64(len(v))
	case jsontext.Value:
		return scalar + int64(len(v))
	case map[string]any:
		n := int64(scalar)
		for k, e := range v {
			n += entry + int64(len(k)) + weighValue(e, depth+1)
		}
		return n
	case []any:
		n := int64(scalar)
		for _, e := range v {
			n += entry + weighValue(e, depth+1)
		}
		return n
	case []string:
		n := int64(scalar)
		for _, s := range v {
			n += entry + int64(len(s))
		}
		return n
	}
	return scalar
}
