// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"encoding/json"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/ocsf"
)

// weighValue estimates the memory of a free-form JSON value, which is more than
// its text. What lies deeper than any honest payload counts little; its encoding
// will refuse it.
func weighValue(v any) int64 {
	var s scale
	return s.value(v, 0)
}

func (s *scale) value(v any, depth int) int64 {
	const (
		scalar   = 16  // an interface with a small value, a string's header
		smallMap = 336 // room for eight entries, which a map has from the first on
		entry    = 48  // of a map with more
	)
	if s.seen++; s.seen > mostSeen || depth > 64 {
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
			n += int64(len(k)) + s.value(e, depth+1)
		}
		return n
	case []any:
		n := int64(scalar)
		for _, e := range v {
			n += scalar + s.value(e, depth+1)
		}
		return n
	case []string:
		n := int64(scalar)
		for _, s := range v {
			n += scalar + int64(len(s))
		}
		return n
	}
	if r := reflect.ValueOf(v); r.IsValid() && !plain(r.Type()) {
		return scalar + s.weigh(r, depth)
	}
	return scalar
}

// A scale weighs whatever an event points to.
type scale struct{ seen int }

// mostSeen is how many values are looked at. An event with more than so many is
// heavy enough by then, or has a value that leads back to itself, which its
// encoding will refuse.
const mostSeen = 1 << 18

// weigh returns about how many bytes v takes beyond those of v itself.
func (s *scale) weigh(v reflect.Value, depth int) (n int64) {
	if s.seen++; s.seen > mostSeen || depth > 64 || plain(v.Type()) {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		if e := v.Elem(); depth > 2 {
			return int64(e.Type().Size()) + s.weigh(e, depth+1)
		}
		return s.weigh(v.Elem(), depth+1) // the event itself, and what each has
	case reflect.Slice:
		n = int64(v.Len()) * int64(v.Type().Elem().Size())
		if plain(v.Type().Elem()) {
			return n
		}
		for i := range v.Len() {
			n += s.weigh(v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			n += s.weigh(v.Index(i), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += s.weigh(v.Field(i), depth+1)
		}
	case reflect.Map:
		const few = 336 // room for eight entries, which a map has from the first on
		if v.CanInterface() {
			if m, ok := v.Interface().(map[string]any); ok {
				return s.value(m, depth+1)
			}
		}
		t := v.Type()
		n = max(few, int64(v.Len())*int64(t.Key().Size()+t.Elem().Size()))
		for i := v.MapRange(); i.Next(); {
			n += s.weigh(i.Key(), depth+1) + s.weigh(i.Value(), depth+1)
		}
	default: // a channel or a function: no event can be made of it
	}
	return n
}

// plain reports whether values of a type point to nothing.
func plain(t reflect.Type) bool {
	return t.Kind() <= reflect.Complex128
}
