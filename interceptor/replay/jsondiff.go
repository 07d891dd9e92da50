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
	if bytes.Equal(a, b) {
		return nil
	}
	var x, y any
	if !decode(a, &x) || !decode(b, &y) {
		return []interceptor.Patch{{Op: "replace", Value: b}}
	}
	return appendDiff(nil, "", x, y)
}

func decode(raw []byte, v *any) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v) == nil
}

func appendDiff(out []interceptor.Patch, path string, x, y any) []interceptor.Patch {
	switch x := x.(type) {
	case map[string]any:
		if y, ok := y.(map[string]any); ok {
			return diffObjects(out, path, x, y)
		}
	case []any:
		if y, ok := y.([]any); ok {
			return diffArrays(out, path, x, y)
		}
	}
	if before, after := text(x), text(y); !bytes.Equal(before, after) {
		out = append(out, interceptor.Patch{Op: "replace", Path: path, Value: after})
	}
	return out
}

func diffObjects(out []interceptor.Patch, path string, x, y map[string]any) []interceptor.Patch {
	keys := slices.Collect(maps.Keys(x))
	for k := range y {
		if _, ok := x[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		at := path + "/" + pointerEscapes.Replace(k)
		before, was := x[k]
		after, is := y[k]
		switch {
		case was && is:
			out = appendDiff(out, at, before, after)
		case is:
			out = append(out, interceptor.Patch{Op: "add", Path: at, Value: text(after)})
		default:
			out = append(out, interceptor.Patch{Op: "remove", Path: at})
		}
	}
	return out
}

func diffArrays(out []interceptor.Patch, path string, x, y []any) []interceptor.Patch {
	both := min(len(x), len(y))
	for i := range both {
		out = appendDiff(out, path+"/"+strconv.Itoa(i), x[i], y[i])
	}
	for _, item := range y[both:] {
		out = append(out, interceptor.Patch{Op: "add", Path: path + "/-", Value: text(item)})
	}
	for i := len(x) - 1; i >= both; i-- { // from behind, so that the places stay what they are
		out = append(out, interceptor.Patch{Op: "remove", Path: path + "/" + strconv.Itoa(i)})
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

// general is a pointer with an asterisk for each place in an array.
func general(pointer string) string {
	tokens := strings.Split(pointer, "/")
	for i, token := range tokens {
		if _, err := strconv.ParseUint(token, 10, 31); err == nil || token == "-" {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, "/")
}
