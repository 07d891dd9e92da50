// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// jsonDiff returns patches (RFC 6902) that make b of a: add, remove and replace
// only, in the order of their paths. It is not the shortest: an array is compared
// item by item, so that one that was put in front changes all of them.
func jsonDiff(a, b []byte) []interceptor.Patch {
	var patches []interceptor.Patch
	for _, c := range jsonChanges(a, b) {
		patches = append(patches, c.Patch)
	}
	return patches
}

// A change is one patch of a difference, and its path with an asterisk for each place
// in an array. The name of a member is its name, though it be a number.
type change struct {
	interceptor.Patch
	general string
}

// jsonChanges is jsonDiff for those who want to know which fields differ.
func jsonChanges(a, b []byte) []change {
	if bytes.Equal(a, b) {
		return nil
	}
	var x, y any
	if !decode(a, &x) || !decode(b, &y) {
		return []change{{Patch: interceptor.Patch{Op: "replace", Value: b}}}
	}
	return appendDiff(nil, place{}, x, y)
}

// A place is where in a document a value is.
type place struct{ path, general string }

func (p place) member(name string) place {
	token := "/" + pointerEscapes.Replace(name)
	return place{p.path + token, p.general + token}
}

func (p place) item(token string) place { return place{p.path + "/" + token, p.general + "/*"} }

// change is one at the place.
func (p place) change(op string, value []byte) change {
	return change{interceptor.Patch{Op: op, Path: p.path, Value: value}, p.general}
}

func decode(raw []byte, v *any) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v) == nil
}

func appendDiff(out []change, at place, x, y any) []change {
	switch x := x.(type) {
	case map[string]any:
		if y, ok := y.(map[string]any); ok {
			return diffObjects(out, at, x, y)
		}
	case []any:
		if y, ok := y.([]any); ok {
			return diffArrays(out, at, x, y)
		}
	}
	if before, after := text(x), text(y); !bytes.Equal(before, after) {
		out = append(out, at.change("replace", after))
	}
	return out
}

func diffObjects(out []change, at place, x, y map[string]any) []change {
	keys := slices.Collect(maps.Keys(x))
	for k := range y {
		if _, ok := x[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		at := at.member(k)
		before, was := x[k]
		after, is := y[k]
		switch {
		case was && is:
			out = appendDiff(out, at, before, after)
		case is:
			out = append(out, at.change("add", text(after)))
		default:
			out = append(out, at.change("remove", nil))
		}
	}
	return out
}

func diffArrays(out []change, at place, x, y []any) []change {
	both := min(len(x), len(y))
	for i := range both {
		out = appendDiff(out, at.item(strconv.Itoa(i)), x[i], y[i])
	}
	for _, item := range y[both:] {
		out = append(out, at.item("-").change("add", text(item)))
	}
	for i := len(x) - 1; i >= both; i-- { // from behind, so that the places stay what they are
		out = append(out, at.item(strconv.Itoa(i)).change("remove", nil))
	}
	return out
}

// pointerEscapes makes a member's name a token of a JSON Pointer (RFC 6901).
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// text returns the canonical form of a value.
func text(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return []byte("null") // which nothing that was decoded comes to
	}
	if c, err := ocsf.Canonicalize(raw); err == nil {
		return c
	}
	return raw
}
