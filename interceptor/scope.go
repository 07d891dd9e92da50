// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxWrites bounds the metadata namespaces that a binding may write.
const maxWrites = 8

// sees returns a copy of those attributes that the binding is granted.
func (b *Binding) sees(attributes map[string]string) map[string]string {
	var seen map[string]string
	for name, value := range attributes {
		if slices.ContainsFunc(b.Attributes, func(pattern string) bool { return matches(pattern, name) }) {
			if seen == nil {
				seen = map[string]string{}
			}
			seen[name] = value
		}
	}
	return seen
}

// reads returns a copy of those metadata namespaces that the binding is granted.
func (b *Binding) reads(metadata map[string]map[string]any) map[string]map[string]any {
	var seen map[string]map[string]any
	for _, name := range b.Reads {
		if values, ok := metadata[name]; ok {
			if seen == nil {
				seen = map[string]map[string]any{}
			}
			seen[name], _ = copyOf(values).(map[string]any)
		}
	}
	return seen
}

// oversteps names a metadata namespace that the binding may not write; "" when
// there is none.
func (b *Binding) oversteps(metadata map[string]map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if !slices.Contains(b.Writes, name) {
			return name
		}
	}
	return ""
}

// write sets metadata namespaces, each as a whole, for the bindings that come
// later in this operation. What earlier ones were shown stays as it was.
func (r *run) write(metadata map[string]map[string]any) {
	if len(metadata) == 0 {
		return
	}
	next := make(map[string]map[string]any, len(r.metadata)+len(metadata))
	maps.Copy(next, r.metadata)
	maps.Copy(next, metadata)
	r.metadata = next
}

var (
	errNoRoom  = errors.New("metadata is too long")
	errTooDeep = errors.New("metadata is nested too deeply")
)

// maxNesting bounds the depth of metadata.
const maxNesting = 32

// A jsonCopy copies values that have a JSON form, which are what metadata is made
// of, so that nobody can change them afterwards. Room is what they may take.
type jsonCopy struct{ room int }

// copyMetadata returns a copy of what an interceptor answered, and its size, which
// is at most about room.
func copyMetadata(given map[string]map[string]any, room int) (copied map[string]map[string]any, size int, err error) {
	c := jsonCopy{room: room}
	copied, err = c.namespaces(given)
	return copied, room - c.room, err
}

func (c *jsonCopy) namespaces(given map[string]map[string]any) (map[string]map[string]any, error) {
	copied := make(map[string]map[string]any, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("metadata namespace %q: the name is not valid UTF-8", name)
		}
		c.room -= len(name) + 4
		v, err := c.object(given[name], 1)
		if err != nil {
			return nil, fmt.Errorf("metadata namespace %q: %w", name, err)
		}
		copied[name] = v
	}
	return copied, nil
}

func (c *jsonCopy) object(given map[string]any, depth int) (map[string]any, error) {
	copied := make(map[string]any, len(given))
	for key, item := range given {
		c.room -= len(key) + 4
		v, err := c.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		copied[strings.ToValidUTF8(key, "\ufffd")] = v
	}
	return copied, nil
}

func (c *jsonCopy) value(v any, depth int) (any, error) {
	c.room -= 4
	switch {
	case depth > maxNesting:
		return nil, errTooDeep
	case c.room < 0:
		return nil, errNoRoom
	}
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		c.room -= len(v)
		return strings.ToValidUTF8(v, "\ufffd"), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%v is no number of JSON", v)
		}
		return v, nil
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("read number: %w", err)
		}
		return c.value(f, depth)
	case map[string]any:
		return c.object(v, depth)
	case []any:
		copied := make([]any, len(v))
		for i, item := range v {
			var err error
			if copied[i], err = c.value(item, depth+1); err != nil {
				return nil, err
			}
		}
		return copied, nil
	}
	return nil, fmt.Errorf("a value of type %T has no JSON form", v)
}
