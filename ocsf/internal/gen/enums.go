// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// derivedEnums are attributes whose values the package knows in other ways.
var derivedEnums = map[string]bool{"class_uid": true, "category_uid": true, "type_uid": true}

// nameEnums gives each attribute that has an enum a Go type. Attributes of one
// name share a type where they have the same values; the type is called after
// the attribute alone when most of them do, else after the class or object that
// the values come from.
func (u *union) nameEnums() error {
	type user struct {
		c *container
		a *attr
	}
	uses := map[string][]user{}
	for _, c := range slices.Concat(u.classes, u.objects) {
		for _, a := range c.attrs {
			if len(a.values) > 0 && !derivedEnums[a.name] {
				uses[a.name] = append(uses[a.name], user{c, a})
			}
		}
	}
	all := map[string]*enum{}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		count := map[string]int{}
		for _, x := range uses[name] {
			count[signature(x.a.values)]++
		}
		for _, x := range uses[name] {
			owner := ""
			_, ambiguous := uses[strings.TrimSuffix(name, "s")] // category_ids holds no category_id
			ambiguous = ambiguous && strings.HasSuffix(name, "s")
			if sig := signature(x.a.values); name == "activity_id" || ambiguous || 2*count[sig] <= len(uses[name]) {
				owner = u.origin(x.c, name, sig).goName
			}
			typeName := owner + singular(camel(name))
			e := all[typeName]
			if e == nil {
				e = &enum{goName: typeName, prefix: strings.TrimSuffix(typeName, "ID"), text: x.a.base == "string_t"}
				if name == "activity_id" {
					e.prefix = owner
				}
				all[typeName] = e
			}
			if e.values != nil && signature(e.values) != signature(x.a.values) {
				return fmt.Errorf("%s.%s needs a Go type of its own beside %s", x.c.name, name, typeName)
			}
			e.add(x.a.values)
			e.users = append(e.users, x.c.name+"."+name)
			x.a.enum = e
		}
	}
	u.enums = slices.SortedFunc(maps.Values(all), func(a, b *enum) int { return strings.Compare(a.goName, b.goName) })
	return nil
}

// origin is the topmost class or object that c extends and that has the same values.
func (u *union) origin(c *container, attribute, sig string) *container {
	for {
		var parent *container
		for _, p := range slices.Concat(u.classes, u.objects) {
			if p.name == c.extends && p.isClass == c.isClass {
				parent = p
			}
		}
		if parent == nil || parent.attr(attribute) == nil || signature(parent.attr(attribute).values) != sig {
			return c
		}
		c = parent
	}
}

func signature(values []value) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%s=%s;", v.value, v.caption)
	}
	return b.String()
}

func singular(name string) string {
	if strings.HasSuffix(name, "IDs") {
		return strings.TrimSuffix(name, "s")
	}
	return name
}

func (e *enum) add(values []value) {
	if e.values == nil {
		e.values = slices.Clone(values)
		return
	}
	for i := range values { // the same ones, by their signature
		e.values[i].in |= values[i].in
	}
}

// constants names the values. taken holds the Go names of the package; a name
// that is taken, or that another value has, gets the value behind it.
func (e *enum) constants(taken map[string]bool) []constant {
	latest := map[string]value{}
	for _, v := range e.values {
		if v.in >= latest[v.value].in {
			latest[v.value] = v
		}
	}
	var cs []constant
	seen := map[string]bool{}
	for _, v := range e.values {
		if seen[v.value] {
			continue
		}
		seen[v.value] = true
		v = latest[v.value]
		name := e.prefix + caption(v.caption)
		if taken[name] || name == e.prefix {
			name += "_" + strings.NewReplacer("-", "minus").Replace(v.value)
		}
		taken[name] = true
		cs = append(cs, constant{name, v})
	}
	return cs
}

type constant struct {
	name string
	value
}
