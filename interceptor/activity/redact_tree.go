// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/ocsf"
)

// json returns canonical JSON as it is written; of is what its schema says of it.
func (x *redacting) json(at string, of spot, raw []byte) ([]byte, error) {
	if len(x.rules) == 0 {
		return raw, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	out, keep := x.tree(at, of, nil, v)
	if !keep {
		out = nil
	}
	return ocsf.EncodeValue(out)
}

// tree returns a value at a place below of as it is written, and false when it is
// left out. The rules' pointers come first, so that no regex speaks of
// what they leave out.
func (x *redacting) tree(at string, of spot, place []string, v any) (any, bool) {
	for _, r := range x.rules {
		for _, pattern := range r.pointers {
			rest, ok := of.below(pattern, place)
			if !ok {
				continue
			}
			out, keep := x.point(at, r, of.at(place), pattern, rest, v)
			if !keep {
				return nil, false
			}
			v = out
		}
	}
	return x.patterns(at, pointerOf(place), v), true
}

// point applies a rule to what a pattern points to in v, which is at a spot.
func (x *redacting) point(at string, r *rule, of spot, whole, pattern []string, v any) (any, bool) {
	if len(pattern) == 0 {
		if v == any(failedText) {
			return v, true
		}
		out, keep, failed := r.value(v)
		// The pattern and not the place: a name may be as telling as its value.
		x.add(note{at: at, pointer: pointerOf(whole), rule: r.name, do: r.do, failed: failed}, 1)
		return out, keep
	}
	switch in := v.(type) {
	case map[string]any:
		of = of.inside(in)
		for _, name := range slices.Sorted(maps.Keys(in)) {
			within, ok := of.match(pattern[0], name)
			if !ok {
				continue
			}
			if out, keep := x.point(at, r, within, whole, pattern[1:], in[name]); keep {
				in[name] = out
			} else {
				delete(in, name)
			}
		}
	case []any:
		for i := range in {
			if pattern[0] == "*" || pattern[0] == strconv.Itoa(i) {
				// null in the place of what is left out: the others keep theirs.
				within, _ := of.member(strconv.Itoa(i))
				if out, keep := x.point(at, r, within, whole, pattern[1:], in[i]); keep {
					in[i] = out
				} else {
					in[i] = nil
				}
			}
		}
	}
	return v, true
}

// patterns applies the rules' patterns to all texts and numbers in v.
func (x *redacting) patterns(at, pointer string, v any) any {
	switch v := v.(type) {
	case string:
		return x.text(at, pointer, v)
	case float64:
		raw, err := ocsf.EncodeValue(v)
		if err != nil {
			return failedText
		}
		if s := x.text(at, pointer, string(raw)); s != string(raw) {
			return s
		}
	case []any:
		for i := range v {
			v[i] = x.patterns(at, pointer+"/"+strconv.Itoa(i), v[i])
		}
	case map[string]any:
		names, out := members{}, make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			written := x.name(at, name, names)
			if written == "" && name != "" {
				continue
			}
			out[written] = x.patterns(at, pointer+"/"+escape.Replace(written), v[name])
		}
		return out
	}
	return v
}
