// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Read reads a catalog that [Write] wrote. Equal attributes are one [Attribute]
// that many classes and objects share.
//
// The error is an *[InvalidError] when r does not hold a catalog, else what
// reading r failed with. Arbitrary input is safe.
func Read(r io.Reader) (*Schema, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return readCatalog(text)
}

type catalogFile struct {
	Catalog    int                         `json:"catalog"`
	Version    string                      `json:"version"`
	Categories map[string]catalogCategory  `json:"categories"`
	Extensions map[string]catalogExtension `json:"extensions"`
	Profiles   map[string][]string         `json:"profiles"`
	Types      map[string]catalogType      `json:"types"`
	Enums      map[string][][]string       `json:"enums"`
	Attributes map[string][]string         `json:"attributes"`
	Objects    map[string]catalogItem      `json:"objects"`
	Classes    map[string]catalogClass     `json:"classes"`
}

type catalogCategory struct {
	Caption string `json:"caption,omitempty"`
	UID     int    `json:"uid"`
}

type catalogExtension struct {
	Caption string `json:"caption,omitempty"`
	UID     int    `json:"uid"`
	Version string `json:"version,omitempty"`
}

func readCatalog(text []byte) (*Schema, error) {
	var file catalogFile
	if err := decode("", text, &file); err != nil {
		return nil, err
	}
	switch {
	case file.Catalog != catalogVersion:
		return nil, invalid("catalog", "version %d of the format is not known, only %d", file.Catalog, catalogVersion)
	case file.Version == "":
		return nil, invalid("version", "it is missing")
	}
	c := &catalogReader{
		file: &file, schema: &Schema{Version: file.Version},
		enums: make(map[string][]EnumValue, len(file.Enums)), attributes: make(map[string]*Attribute, len(file.Attributes)),
	}
	for _, read := range []func() error{c.small, c.enumTable, c.attributeTable, c.objectTable, c.classTable} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return c.schema, c.schema.check()
}

// A catalogReader builds a schema out of a catalog's tables.
type catalogReader struct {
	file       *catalogFile
	schema     *Schema
	enums      map[string][]EnumValue // by key, as attributes
	attributes map[string]*Attribute
}

// small reads the tables of a few rows.
func (c *catalogReader) small() error {
	s := c.schema
	s.Categories = make(map[string]*Category, len(c.file.Categories))
	for name, row := range c.file.Categories {
		s.Categories[name] = &Category{Name: name, Caption: row.Caption, UID: row.UID}
	}
	s.Extensions = make(map[string]*Extension, len(c.file.Extensions))
	for name, row := range c.file.Extensions {
		s.Extensions[name] = &Extension{Name: name, Caption: row.Caption, UID: row.UID, Version: row.Version}
	}
	s.Profiles = make(map[string]*Profile, len(c.file.Profiles))
	for name, row := range c.file.Profiles {
		if len(row) > 2 {
			return invalid("profiles."+name, "it has %d columns instead of two", len(row))
		}
		s.Profiles[name] = &Profile{Name: name, Caption: column(row, 0), Extension: column(row, 1)}
	}
	s.Types = make(map[string]*Type, len(c.file.Types))
	for name, t := range c.file.Types {
		s.Types[name] = &Type{
			Name: name, Caption: t.Caption, Super: t.Super, Regex: t.Regex,
			MaxLen: t.MaxLen, Range: t.Range, Values: t.Values,
		}
	}
	return nil
}

// column returns what was left out at the end of a row as empty.
func column(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

func (c *catalogReader) enumTable() error {
	since := make(sinces)
	for key, rows := range c.file.Enums {
		values := make([]EnumValue, len(rows))
		for i, row := range rows {
			if len(row) != 2 && len(row) != 3 {
				return invalid("enums."+key+"["+strconv.Itoa(i)+"]", "it has %d columns instead of two or three", len(row))
			}
			values[i] = EnumValue{Value: row[0], Caption: row[1]}
			if len(row) == 3 {
				values[i].Deprecated = since.get(row[2])
			}
		}
		c.enums[key] = values
	}
	return nil
}

func (c *catalogReader) attributeTable() error {
	since := make(sinces)
	profiles := make(map[string][]string)
	isObject := func(name string) bool { _, ok := c.file.Objects[name]; return ok }
	rows := make([]Attribute, len(c.file.Attributes))
	for key, row := range c.file.Attributes {
		a := &rows[0]
		rows = rows[1:]
		path := "attributes." + key
		if len(row) > 7 {
			return invalid(path, "it has %d columns instead of seven", len(row))
		}
		a.Name, _, _ = strings.Cut(key, ":")
		a.Caption = column(row, 0)
		a.Type, a.IsArray = strings.CutPrefix(column(row, 1), arrayPrefix)
		if object, ok := strings.CutPrefix(a.Type, objectPrefix); ok {
			a.Type, a.ObjectType = objectType, object
		}
		a.Requirement = Requirement(column(row, 2))
		if a.Requirement == "" {
			a.Requirement = Optional
		}
		names := column(row, 3)
		if _, ok := profiles[names]; !ok {
			profiles[names] = fields(names)
		}
		a.Profiles = profiles[names]
		a.Sibling = column(row, 4)
		if enum := column(row, 5); enum != "" {
			values, ok := c.enums[enum]
			if !ok {
				return invalid(path, "there is no enum %q", enum)
			}
			a.Enum = values
		}
		if len(row) == 7 {
			a.Deprecated = since.get(row[6])
		}
		if err := c.schema.checkAttribute(a, isObject); err != nil {
			return within(path, err)
		}
		c.attributes[key] = a
	}
	return nil
}

func fields(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, " ")
}

func (c *catalogReader) objectTable() error {
	c.schema.Objects = make(map[string]*Object, len(c.file.Objects))
	for name, row := range c.file.Objects {
		like, ok := c.file.Objects[row.Like]
		it, err := c.item(name, &row, &like, ok)
		if err != nil {
			return within("objects."+name, err)
		}
		c.schema.Objects[name] = &Object{Item: it}
	}
	return nil
}

func (c *catalogReader) classTable() error {
	c.schema.Classes = make(map[string]*Class, len(c.file.Classes))
	for name, row := range c.file.Classes {
		like, ok := c.file.Classes[row.Like]
		it, err := c.item(name, &row.catalogItem, &like.catalogItem, ok)
		if err != nil {
			return within("classes."+name, err)
		}
		c.schema.Classes[name] = &Class{Item: it, UID: row.UID, Category: row.Category, CategoryUID: row.CategoryUID}
	}
	return nil
}

// item reads a row. found says whether like, the row that this one names as its
// model, exists; a model has no model itself.
func (c *catalogReader) item(name string, row, like *catalogItem, found bool) (Item, error) {
	it := Item{
		Name: name, Caption: row.Caption, Extends: row.Extends, Extension: row.Extension,
		Profiles: fields(row.Profiles), Constraints: row.Constraints,
	}
	if row.Deprecated != nil {
		it.Deprecated = &Deprecation{Since: *row.Deprecated}
	}
	n := strings.Count(row.Attributes, " ") + 1
	if row.Like != "" {
		if !found || like.Like != "" {
			return it, invalid("like", "%q cannot be a model", row.Like)
		}
		n += strings.Count(like.Attributes, " ") + 1
	}
	it.Attributes = make(map[string]*Attribute, n)
	if row.Like != "" {
		if err := c.put(it.Attributes, like.Attributes); err != nil {
			return it, err
		}
	}
	return it, c.put(it.Attributes, row.Attributes)
}

func (c *catalogReader) put(attributes map[string]*Attribute, keys string) error {
	if keys == "" {
		return nil
	}
	for key := range strings.SplitSeq(keys, " ") {
		if name, gone := strings.CutPrefix(key, "-"); gone {
			delete(attributes, name)
			continue
		}
		a := c.attributes[key]
		if a == nil {
			return invalid("attributes", "there is no attribute %q", key)
		}
		attributes[a.Name] = a
	}
	return nil
}

// sinces makes one Deprecation for each text.
type sinces map[string]*Deprecation

func (s sinces) get(since string) *Deprecation {
	if s[since] == nil {
		s[since] = &Deprecation{Since: since}
	}
	return s[since]
}
