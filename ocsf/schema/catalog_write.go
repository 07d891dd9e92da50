// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// catalogVersion is that of the format, which schemas/ocsf/README.md describes.
const catalogVersion = 1

// Write writes a schema as a catalog: the same schema always as the same bytes.
// [Read] reads it. A schema that [ReadCompiled] returned can always be written.
func Write(w io.Writer, s *Schema) error {
	c := catalogWriter{enums: newVariants(), attributes: newVariants()}
	c.collect(s)
	c.enums.number()
	for _, a := range c.all {
		c.attributes.add(a.Name, c.attribute(a))
	}
	c.attributes.number()

	c.line("{", `"catalog": `+strconv.Itoa(catalogVersion)+",", `"version": `+text(s.Version)+",")
	c.table("categories", rows(s.Categories, func(v *Category) string { return text(catalogCategory{v.Caption, v.UID}) }))
	c.table("extensions", rows(s.Extensions, func(v *Extension) string { return text(catalogExtension{v.Caption, v.UID, v.Version}) }))
	c.table("profiles", rows(s.Profiles, func(v *Profile) string { return text(trim(v.Caption, v.Extension)) }))
	c.table("types", rows(s.Types, func(v *Type) string { return text(catalogTypeOf(v)) }))
	c.table("enums", c.enums.rows())
	c.table("attributes", c.attributes.rows())
	c.table("objects", rows(s.Objects, func(v *Object) string { return text(c.item(&v.Item, nil)) }))
	var base *Item
	if b := s.Classes[baseEvent]; b != nil {
		base = &b.Item
	}
	c.table("classes", rows(s.Classes, func(v *Class) string {
		return text(catalogClass{UID: v.UID, Category: v.Category, CategoryUID: v.CategoryUID, catalogItem: c.item(&v.Item, base)})
	}))
	c.out.Truncate(c.out.Len() - len(",\n")) // no comma after the last table
	c.line("", "}")
	if _, err := w.Write(c.out.Bytes()); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	return nil
}

// baseEvent is the class that the others share most attributes with.
const baseEvent = "base_event"

// catalogType is a row of the table types.
type catalogType struct {
	Caption string    `json:"caption,omitempty"`
	Super   string    `json:"super,omitempty"`
	Regex   string    `json:"regex,omitempty"`
	MaxLen  int       `json:"max_len,omitempty"`
	Range   *[2]int64 `json:"range,omitempty"`
	Values  []any     `json:"values,omitempty"`
}

func catalogTypeOf(t *Type) catalogType {
	return catalogType{Caption: t.Caption, Super: t.Super, Regex: t.Regex, MaxLen: t.MaxLen, Range: t.Range, Values: t.Values}
}

// catalogItem is a row of the table objects, and with a class's own columns of
// the table classes.
type catalogItem struct {
	Caption     string              `json:"caption,omitempty"`
	Extends     string              `json:"extends,omitempty"`
	Extension   string              `json:"extension,omitempty"`
	Deprecated  *string             `json:"deprecated,omitempty"` // since
	Profiles    string              `json:"profiles,omitempty"`
	Constraints map[string][]string `json:"constraints,omitempty"`
	Like        string              `json:"like,omitempty"`
	Attributes  string              `json:"attributes,omitempty"`
}

type catalogClass struct {
	UID         int    `json:"uid"`
	Category    string `json:"category"`
	CategoryUID int    `json:"category_uid"`
	catalogItem
}

// A catalogWriter collects what occurs more than once before it writes.
type catalogWriter struct {
	out               bytes.Buffer
	enums, attributes *variants
	all               []*Attribute
}

func (c *catalogWriter) collect(s *Schema) {
	add := func(it *Item) {
		for _, name := range slices.Sorted(maps.Keys(it.Attributes)) {
			a := it.Attributes[name]
			c.all = append(c.all, a)
			if a.Enum != nil {
				c.enums.add(a.Name, enumRow(a))
			}
		}
	}
	for _, o := range s.Objects {
		add(&o.Item)
	}
	for _, class := range s.Classes {
		add(&class.Item)
	}
}

func enumRow(a *Attribute) string {
	values := make([][]string, 0, len(a.Enum))
	for _, v := range a.Enum {
		row := []string{v.Value, v.Caption}
		if v.Deprecated != nil {
			row = append(row, v.Deprecated.Since)
		}
		values = append(values, row)
	}
	return text(values)
}

// attribute returns the columns caption, type, requirement, profiles, sibling,
// enum, deprecated since. Empty ones at the end are left out, so that a seventh
// says that the attribute is deprecated even when it is empty.
func (c *catalogWriter) attribute(a *Attribute) string {
	kind := a.Type
	if a.Type == objectType {
		kind = objectPrefix + a.ObjectType
	}
	if a.IsArray {
		kind = arrayPrefix + kind
	}
	requirement := string(a.Requirement)
	if a.Requirement == Optional {
		requirement = ""
	}
	enum := ""
	if a.Enum != nil {
		enum = c.enums.key(a.Name, enumRow(a))
	}
	row := trim(a.Caption, kind, requirement, strings.Join(a.Profiles, " "), a.Sibling, enum)
	if a.Deprecated != nil {
		for len(row) < 6 {
			row = append(row, "")
		}
		row = append(row, a.Deprecated.Since)
	}
	return text(row)
}

// How the type of an attribute is written.
const (
	arrayPrefix  = "[]"
	objectPrefix = "object:"
)

// item writes the attributes as what is different from those of like.
func (c *catalogWriter) item(it, like *Item) catalogItem {
	row := catalogItem{
		Caption: it.Caption, Extends: it.Extends, Extension: it.Extension,
		Profiles: strings.Join(it.Profiles, " "), Constraints: it.Constraints,
	}
	if it.Deprecated != nil {
		row.Deprecated = &it.Deprecated.Since
	}
	key := func(it *Item, name string) string {
		if a := it.Attributes[name]; a != nil {
			return c.attributes.key(name, c.attribute(a))
		}
		return ""
	}
	names := maps.Clone(it.Attributes)
	if like != nil && like.Name != it.Name {
		row.Like = like.Name
		maps.Copy(names, like.Attributes)
	}
	var keys []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch own := key(it, name); {
		case row.Like != "" && own == key(like, name):
		case own == "":
			keys = append(keys, "-"+name)
		default:
			keys = append(keys, own)
		}
	}
	row.Attributes = strings.Join(keys, " ")
	return row
}

func (c *catalogWriter) line(lines ...string) {
	for _, line := range lines {
		c.out.WriteString(line)
		c.out.WriteByte('\n')
	}
}

func (c *catalogWriter) table(name string, rows []string) {
	c.line(text(name) + ": {")
	if len(rows) > 0 {
		c.line(strings.Join(rows, ",\n"))
	}
	c.line("},")
}

func rows[T any](table map[string]*T, row func(*T) string) []string {
	out := make([]string, 0, len(table))
	for _, name := range slices.Sorted(maps.Keys(table)) {
		out = append(out, text(name)+": "+row(table[name]))
	}
	return out
}

// trim leaves out empty columns at the end.
func trim(columns ...string) []string {
	for len(columns) > 0 && columns[len(columns)-1] == "" {
		columns = columns[:len(columns)-1]
	}
	return columns
}

// text is JSON as people read it: & and < stay as they are.
func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, numbers and what JSON was decoded to
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// variants holds, by name, the different rows that were met, and gives each a
// key: the name for the most frequent, name:2 for the next one, and so on.
type variants struct {
	uses map[string]map[string]int
	keys map[string]map[string]string
}

func newVariants() *variants {
	return &variants{uses: make(map[string]map[string]int), keys: make(map[string]map[string]string)}
}

func (v *variants) add(name, row string) {
	if v.uses[name] == nil {
		v.uses[name] = make(map[string]int)
	}
	v.uses[name][row]++
}

func (v *variants) number() {
	for name, uses := range v.uses {
		v.keys[name] = make(map[string]string, len(uses))
		order := slices.SortedFunc(maps.Keys(uses), func(a, b string) int {
			return cmp.Or(cmp.Compare(uses[b], uses[a]), strings.Compare(a, b))
		})
		for i, row := range order {
			key := name
			if i > 0 {
				key += ":" + strconv.Itoa(i+1)
			}
			v.keys[name][row] = key
		}
	}
}

func (v *variants) key(name, row string) string { return v.keys[name][row] }

func (v *variants) rows() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(v.keys)) {
		byKey := make([]string, len(v.keys[name]))
		for row, key := range v.keys[name] {
			n := 1
			if _, digits, ok := strings.Cut(key, ":"); ok {
				n, _ = strconv.Atoi(digits)
			}
			byKey[n-1] = text(key) + ": " + row
		}
		out = append(out, byKey...)
	}
	return out
}
