// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/ocsf"
)

// weighValue estimates the memory of a free-form JSON value, which is more than
// its text. What lies deeper than any honest payload counts little; its encoding
// will refuse it.
func weighValue(v any, depth int) int64 {
	const (
		scalar   = 16  // an interface with a small value, a string's header
		smallMap = 336 // room for eight entries, which a map has from the first on
		entry    = 48  // of a map with more
	)
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
		n := max(smallMap, entry*int64(len(v)))
		for k, e := range v {
			n += int64(len(k)) + weighValue(e, depth+1)
		}
		return n
	case []any:
		n := int64(scalar)
		for _, e := range v {
			n += scalar + weighValue(e, depth+1)
		}
		return n
	case []string:
		n := int64(scalar)
		for _, s := range v {
			n += scalar + int64(len(s))
		}
		return n
	}
	return scalar
}
