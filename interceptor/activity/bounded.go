// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"crypto/sha256"

	"github.com/docket-audit/docket/ocsf"
)

// bounded returns the event's data, or its digest in its place when it is larger
// than limit in canonical form.
func (w *writer) bounded(e *draft, limit int) any {
	m := e.data
	if roughly(m) <= limit {
		return m
	}
	raw, err := ocsf.EncodeValue(m)
	if err == nil && len(raw) <= limit {
		return ocsf.Canonical(raw)
	}
	truncated(e, len(raw))
	return map[string]any{
		dataAllowed: m[dataAllowed], dataDigest: digest(sha256.Sum256(raw)).String(), dataBytes: len(raw),
	}
}

// roughly bounds the encoded size of a response's data from above: no byte of a
// text takes more than six.
func roughly(v any) int {
	switch v := v.(type) {
	case string:
		return 2 + 6*len(v)
	case ocsf.Canonical:
		return len(v)
	case []string:
		n := 2
		for _, s := range v {
			n += 3 + 6*len(s)
		}
		return n
	case []any:
		n := 2
		for _, item := range v {
			n += 1 + roughly(item)
		}
		return n
	case map[string]string:
		n := 2
		for k, s := range v {
			n += 6 + 6*(len(k)+len(s))
		}
		return n
	case map[string]any:
		n := 2
		for k, item := range v {
			n += 4 + 6*len(k) + roughly(item)
		}
		return n
	default:
		return 24
	}
}
