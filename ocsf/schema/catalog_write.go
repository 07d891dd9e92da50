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
	c := catalogWriter{schema: s, enums: newVariants(), attributes: newVariants()}
	c.each(c.addEnum)
	c.enums.number()
	c.each(func(class *Class, a *Attribute) { c.attributes.add(a.Name, c.attribute(class, a)) })
	c.attributes.number()

	c.line("{", `"catalog": `+strconv.Itoa(catalogVersion)+",", `"version": `+text(s.Version)+",")
	c.table("categories", rows(s.Categories, func(v *Category) string { return text(catalogCategory{v.Caption, v.UID}) }))
	c.table("extensions", rows(s.Extensions, func(v *Extension) string { return text(catalogExtension{v.Caption, v.UID, v.Version}) }))
	c.table("profiles", rows(s.Profiles, func(v *Profile) string { return text(catalogProfile{v.Caption, v.Extension}) }))
	c.table("types", rows(s.Types, func(v *Type) string { return text(catalogTypeOf(v)) }))
	c.table("enums", c.enums.rows())
	c.table("attributes", c.attributes.rows())
	c.table("objects", rows(s.Objects, func(v *Object) string { return text(c.item(&v.Item, nil, nil)) }))
	c.table("classes", rows(s.Classes, func(v *Class) string {
		return text(catalogClass{UID: v.UID, Category: v.Category, CategoryUID: v.CategoryUID, catalogItem: c.item(&v.Item, v, s.Classes[baseEvent])})
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

// catalogCategory is a row of the table categories.
type catalogCategory struct {
	Caption string `json:"caption,omitempty"`
	UID     int    `json:"uid"`
}

// catalogExtension is a row of the table extensions.
type catalogExtension struct {
	Caption string `json:"caption,omitempty"`
	UID     int    `json:"uid"`
	Version string `json:"version,omitempty"`
}

// catalogProfile is a row of the table profiles.
type catalogProfile struct {
	Caption   string `json:"caption,omitempty"`
	Extension string `json:"extension,omitempty"`
}

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

// catalogEnum is a row of the table enums: values and captions in turn.
type catalogEnum struct {
	Values     []string          `json:"values"`
	Deprecated map[string]string `json:"deprecated,omitempty"` // value to since
}

// A catalogWriter collects what occurs more than once before it writes.
type catalogWriter struct {
	out               bytes.Buffer
	schema            *Schema
	enums, attributes *variants
}

// each calls do with each attribute; class is nil for those of objects.
func (c *catalogWriter) each(do func(*Class, *Attribute)) {
	for _, o := range c.schema.Objects {
		for _, a := range o.Attributes {
			do(nil, a)
		}
	}
	for _, class := range c.schema.Classes {
		for _, a := range class.Attributes {
			do(class, a)
		}
	}
}

func (c *catalogWriter) addEnum(class *Class, a *Attribute) {
	if a.Enum != nil && !c.derived(class, a) {
		c.enums.add(a.Name, enumRow(a.Enum))
	}
}

func (c *catalogWriter) derived(class *Class, a *Attribute) bool {
	return class != nil && len(a.Enum) > 0 && enumRow(a.Enum) == enumRow(c.schema.classEnum(class, a.Name))
}

func enumRow(enum []EnumValue) string {
	row := catalogEnum{Values: make([]string, 0, 2*len(enum))}
	for _, v := range enum {
		row.Values = append(row.Values, v.Value, v.Caption)
		if v.Deprecated != nil {
			if row.Deprecated == nil {
				row.Deprecated = make(map[string]string)
			}
			row.Deprecated[v.Value] = v.Deprecated.Since
		}
	}
	return text(row)
}

// attribute returns an attribute as words and its caption, such as
// "integer_t recommended sibling=status enum=status_id: Status ID".
func (c *catalogWriter) attribute(class *Class, a *Attribute) string {
	kind := a.Type
	if a.Type == objectType {
		kind = objectPrefix + a.ObjectType
	}
	if a.IsArray {
		kind = arrayPrefix + kind
	}
	words := []string{kind}
	if a.Requirement != Optional {
		words = append(words, string(a.Requirement))
	}
	if len(a.Profiles) > 0 {
		words = append(words, "profiles="+strings.Join(a.Profiles, ","))
	}
	if a.Sibling != "" {
		words = append(words, "sibling="+a.Sibling)
	}
	switch {
	case c.derived(class, a):
		words = append(words, "enum="+derivedEnum)
	case a.Enum != nil:
		words = append(words, "enum="+c.enums.key(a.Name, enumRow(a.Enum)))
	}
	if a.Deprecated != nil {
		words = append(words, "deprecated="+a.Deprecated.Since)
	}
	return text(strings.Join(words, " ") + captionMark + a.Caption)
}

// How an attribute is written.
const (
	arrayPrefix  = "[]"
	objectPrefix = "object:"
	captionMark  = ": "
	derivedEnum  = "*" // no key is like that: the enum follows from the class
)

// item writes the attributes of a class as what is different from those of the
// class like. Both are nil for an object.
func (c *catalogWriter) item(it *Item, class, like *Class) catalogItem {
	row := catalogItem{
		Caption: it.Caption, Extends: it.Extends, Extension: it.Extension,
		Profiles: strings.Join(it.Profiles, " "), Constraints: it.Constraints,
	}
	if it.Deprecated != nil {
		row.Deprecated = &it.Deprecated.Since
	}
	keys := make(map[string]string, len(it.Attributes))
	for name, a := range it.Attributes {
		keys[name] = c.attributes.key(name, c.attribute(class, a))
	}
	if like != nil && like != class {
		row.Like = like.Name
		for name, a := range like.Attributes {
			switch keys[name] {
			case "":
				keys[name] = "-" + name
			case c.attributes.key(name, c.attribute(like, a)):
				delete(keys, name)
			}
		}
	}
	sorted := make([]string, 0, len(keys))
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		sorted = append(sorted, keys[name])
	}
	row.Attributes = strings.Join(sorted, " ")
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
