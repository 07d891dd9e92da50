// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// What a [Change] is.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// A Change is one thing in which two plans differ.
type Change struct {
	Change  string `json:"change"`            // Added, Removed or Changed
	Binding string `json:"binding,omitempty"` // "interceptor/id"; "" is the plan itself
	Field   string `json:"field,omitempty"`   // as the plan's JSON names it; "" is the whole binding
	Before  any    `json:"before,omitempty"`  // missing where it was not there
	After   any    `json:"after,omitempty"`   // missing where it is not there
}

// A plan is one as its JSON has it.
type plan struct {
	settings map[string]any            // beside the bindings
	bindings map[string]map[string]any // by name
	names    []string                  // of the bindings, in their order
}

// Compare says in what two plans differ, given as JSON: first the settings, then
// the bindings by name.
func Compare(before, after []byte) ([]Change, error) {
	a, err := parse(before)
	if err != nil {
		return nil, err
	}
	b, err := parse(after)
	if err != nil {
		return nil, err
	}
	all := fields("", a.settings, b.settings)
	names := slices.Concat(a.names, b.names)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		was, is := a.bindings[name], b.bindings[name]
		switch {
		case was == nil:
			all = append(all, Change{Change: Added, Binding: name, After: is})
		case is == nil:
			all = append(all, Change{Change: Removed, Binding: name, Before: was})
		default:
			all = append(all, fields(name, was, is)...)
		}
	}
	return all, nil
}

func fields(binding string, was, is map[string]any) (all []Change) {
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !reflect.DeepEqual(was[key], is[key]) {
			all = append(all, Change{Changed, binding, key, was[key], is[key]})
		}
	}
	return all
}

func parse(raw []byte) (*plan, error) {
	p := &plan{bindings: map[string]map[string]any{}}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a time in ns may have more digits than a float
	if err := d.Decode(&p.settings); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	list, ok := p.settings["bindings"].([]any)
	if p.settings["bindings"] != nil && !ok {
		return nil, fmt.Errorf("read plan: its bindings are no list")
	}
	delete(p.settings, "bindings")
	for _, b := range list {
		binding, ok := b.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("read plan: a binding is no object")
		}
		// An interceptor may have two of one name: each but the first is numbered.
		name := text(binding["interceptor"]) + "/" + text(binding["id"])
		for n, first := 2, name; p.bindings[name] != nil; n++ {
			name = fmt.Sprintf("%s#%d", first, n)
		}
		p.bindings[name] = binding
		p.names = append(p.names, name)
	}
	return p, nil
}

// text is a value as people read it: a string as it is, all else as JSON.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v) // it came from JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Cells are a change for a table: what, of which binding, which field, before and
// after.
func (c *Change) Cells() []string {
	if c.Field == "" {
		return []string{c.Change, c.Binding, "", "", ""}
	}
	return []string{c.Change, c.Binding, c.Field, text(c.Before), text(c.After)}
}
