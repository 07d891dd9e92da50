// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A margin is what one event says beside its fact: what was left out of it.
type margin struct {
	Replay struct {
		Why string `json:"why"`
	} `json:"replay"`
	Redactions []map[string]any `json:"redactions"`
	Redacted   map[string]int   `json:"redacted"`
	More       int              `json:"redactions_more"`
	Broken     string           `json:"broken"`

	truncated bool
	size      *int64
	digest    map[string]any // in place of a response that was too large
	withheld  map[int]any    // why values of patches are not there, by the patches' places
}

type marginKey struct {
	evaluation interceptor.UID // "" of the outcome
	kind       string
}

// marginOf reads the margin of an event; not ok when it is of no fact.
func marginOf(raw []byte) (operation interceptor.UID, key marginKey, m margin, ok bool, err error) {
	h, err := profile.Parse(raw)
	if err != nil {
		return "", key, m, false, err
	}
	switch h.Kind {
	case profile.KindEvaluation, profile.KindResult, profile.KindFailure:
		key.evaluation = interceptor.UID(h.EvaluationUID)
	case profile.KindOutcome:
	default:
		return "", key, m, false, nil
	}
	key.kind = h.Kind
	var e struct {
		Metadata struct {
			Truncated bool   `json:"is_truncated"`
			Size      *int64 `json:"untruncated_size"`
		} `json:"metadata"`
		API struct {
			Response struct {
				Data map[string]json.RawMessage `json:"data"`
			} `json:"response"`
		} `json:"api"`
		Unmapped struct {
			Docket margin `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", key, m, false, fmt.Errorf("read event %s: %w", h.MetadataUID, err)
	}
	m = e.Unmapped.Docket
	m.truncated, m.size = e.Metadata.Truncated, e.Metadata.Size
	data := e.API.Response.Data
	if len(data["digest"]) > 0 {
		m.digest = map[string]any{}
		for _, name := range []string{"allowed", "digest", "bytes"} {
			if v, ok := data[name]; ok {
				m.digest[name] = ocsf.Raw(v)
			}
		}
	}
	var patches []map[string]any
	if len(data["patches"]) > 0 {
		if err := json.Unmarshal(data["patches"], &patches); err != nil {
			return "", key, m, false, fmt.Errorf("read event %s: patches: %w", h.MetadataUID, err)
		}
	}
	for i, p := range patches {
		if why, ok := p["withheld"]; ok {
			if m.withheld == nil {
				m.withheld = map[int]any{}
			}
			m.withheld[i] = why
		}
	}
	return interceptor.UID(h.OperationUID), key, m, true, nil
}

// answer puts back why values of patches are not there, or that nothing is.
func (m *margin) answer(e *ocsf.APIActivity) error {
	if m.digest != nil && e.API != nil && e.API.Response != nil {
		e.API.Response.Data = m.digest
		return nil
	}
	if len(m.withheld) == 0 {
		return nil
	}
	data, err := objectOf(e.API.Response.Data)
	if err != nil {
		return err
	}
	list, _ := data["patches"].([]any)
	for i, why := range m.withheld {
		if i < len(list) {
			if p, ok := list[i].(map[string]any); ok {
				p["withheld"] = why
			}
		}
	}
	e.API.Response.Data = data
	return nil
}

// redactions adds what was left out before to what is left out now. Where may
// hold names that the rules of today leave out.
func (m *margin) redactions(own map[string]any, nowhere bool) {
	if len(m.Redactions) == 0 {
		return
	}
	list := make([]any, 0, len(m.Redactions))
	for _, r := range m.Redactions {
		if nowhere {
			r = maps.Clone(r)
			delete(r, "pointer")
		}
		list = append(list, r)
	}
	now, _ := own["redactions"].([]any)
	own["redactions"] = append(list, now...)
	said := map[string]any{}
	for do, n := range m.Redacted {
		said[do] = float64(n)
	}
	before, _ := own["redacted"].(map[string]any)
	for do, n := range before {
		a, _ := said[do].(float64)
		b, _ := n.(float64)
		said[do] = a + b
	}
	own["redacted"] = said
	if more, _ := own["redactions_more"].(float64); more > 0 || m.More > 0 {
		own["redactions_more"] = more + float64(m.More)
	}
}

// objectOf returns the members of a free-form object; nil when v is none.
func objectOf(v any) (map[string]any, error) {
	raw, ok := v.(ocsf.Raw)
	if !ok {
		return nil, nil
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read what an event says: %w", err)
	}
	return m, nil
}

func max64(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
