// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/strictoml"
	"github.com/docket-audit/docket/ocsf/schema"
)

// The kinds of what can be shown. Where a name is that of several, as "cloud" is
// of an object and of a profile, the first counts.
const (
	kindClass   = "class"
	kindObject  = "object"
	kindProfile = "profile"
	kindType    = "type"
)

var schemaKinds = []string{kindClass, kindObject, kindProfile, kindType}

// An item is what schema show shows: one of the four.
type item struct {
	class   *schema.Class
	object  *schema.Object
	profile *schema.Profile
	typ     *schema.Type
}

// A named item is one of those to choose from.
type named struct {
	name, caption string
	item          item
}

// itemsOf returns what a schema has of a kind, by name.
func itemsOf(s *schema.Schema, kind string) (out []named) {
	switch kind {
	case kindClass:
		for _, name := range slices.Sorted(maps.Keys(s.Classes)) {
			c := s.Classes[name]
			out = append(out, named{c.Name, c.Caption, item{class: c}})
		}
	case kindObject:
		for _, name := range slices.Sorted(maps.Keys(s.Objects)) {
			o := s.Objects[name]
			out = append(out, named{o.Name, o.Caption, item{object: o}})
		}
	case kindProfile:
		for _, name := range slices.Sorted(maps.Keys(s.Profiles)) {
			p := s.Profiles[name]
			out = append(out, named{p.Name, p.Caption, item{profile: p}})
		}
	case kindType:
		for _, name := range slices.Sorted(maps.Keys(s.Types)) {
			t := s.Types[name]
			out = append(out, named{t.Name, t.Caption, item{typ: t}})
		}
	}
	return out
}

// lookUp finds by name, caption or uid, whatever the case.
func lookUp(s *schema.Schema, what string, kinds []string) (item, bool) {
	if uid, err := strconv.Atoi(what); err == nil && slices.Contains(kinds, kindClass) {
		if c := s.ClassByUID(uid); c != nil {
			return item{class: c}, true
		}
		return item{}, false
	}
	for _, kind := range kinds {
		items := itemsOf(s, kind)
		for _, same := range []func(n named) string{func(n named) string { return n.name }, func(n named) string { return n.caption }} {
			if i := slices.IndexFunc(items, func(n named) bool { return strings.EqualFold(same(n), what) }); i >= 0 {
				return items[i].item, true
			}
		}
	}
	return item{}, false
}

// findItem finds what a person asks for. Of what is not there its error says in
// which version it is, or else what is called alike.
func findItem(s *schema.Schema, what, kind string) (item, error) {
	kinds, sort := schemaKinds, "class, object, profile or type"
	if kind != "" {
		kinds, sort = []string{kind}, kind
	}
	switch {
	case strings.TrimSpace(what) == "":
		return item{}, cli.Usage(cli.Hint(errors.New("docket schema show needs NAME, and not an empty one"), "such as: docket schema show api_activity"))
	case !slices.Contains(schemaKinds, kinds[0]):
		return item{}, cli.Usage(cli.Hint(fmt.Errorf("--kind %s: there is no such kind", kind), "use one of %s", strings.Join(schemaKinds, ", ")))
	}
	if it, ok := lookUp(s, what, kinds); ok {
		return it, nil
	}
	err := fmt.Errorf("OCSF %s has no %s %q", s.Version, sort, what)
	uid, notUID := strconv.Atoi(what)
	if notUID == nil {
		err = fmt.Errorf("OCSF %s has no class %d", s.Version, uid)
	}
	if versions := versionsWith(what, kinds); len(versions) > 0 {
		return item{}, cli.Hint(err, "it is in OCSF %s: --schema %s", strings.Join(versions, ", "), versions[len(versions)-1])
	}
	if notUID != nil {
		var known []string
		for _, k := range kinds {
			for _, n := range itemsOf(s, k) {
				known = append(known, n.name)
			}
		}
		if near := strictoml.Suggest(strings.ReplaceAll(strings.ToLower(what), " ", "_"), known); near != "" {
			return item{}, cli.Hint(err, "did you mean %s?", near)
		}
	}
	return item{}, cli.Hint(err, "`docket schema ls --schema %s` lists classes; with --objects objects, with --profiles profiles", s.Version)
}

// versionsWith returns the versions that have something, the oldest first.
func versionsWith(what string, kinds []string) (out []string) {
	for _, v := range schema.Versions() {
		s, err := schema.Load(v)
		if err != nil {
			continue
		}
		if _, ok := lookUp(s, what, kinds); ok {
			out = append(out, v)
		}
	}
	return out
}
