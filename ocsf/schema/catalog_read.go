// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"fmt"
	"io"
	"unicode/utf8"
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

// A keyed is a row of a table under its key.
type keyed[T any] struct {
	key string
	row T
}

// A catalogFile holds a catalog's large tables, as they are.
type catalogFile struct {
	catalog    int
	enums      []keyed[catalogEnum]
	attributes []keyed[string]
	objects    []keyed[catalogItem]
	classes    []keyed[catalogClass]
}

func readCatalog(text []byte) (*Schema, error) {
	if !utf8.Valid(text) {
		return nil, invalid("", "it is not UTF-8")
	}
	c := &catalogReader{
		scanner: scanner{text: string(text)},
		schema: &Schema{
			Categories: make(map[string]*Category), Extensions: make(map[string]*Extension),
			Profiles: make(map[string]*Profile), Types: make(map[string]*Type),
		},
		derived: make(map[*Attribute]bool),
	}
	if err := c.object(c.member); err != nil {
		return nil, err
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	switch {
	case c.file.catalog != catalogVersion:
		return nil, invalid("catalog", "version %d of the format is not known, only %d", c.file.catalog, catalogVersion)
	case c.schema.Version == "":
		return nil, invalid("version", "it is missing")
	}
	for _, build := range []func() error{c.enumTable, c.attributeTable, c.objectTable, c.classTable, c.schema.check} {
		if err := build(); err != nil {
			return nil, err
		}
	}
	return c.schema, nil
}

// A catalogReader builds a schema out of a catalog's tables.
type catalogReader struct {
	scanner
	file       catalogFile
	schema     *Schema
	enums      map[string][]EnumValue // by key, as attributes
	attributes map[string]*Attribute
	derived    map[*Attribute]bool // those whose enum follows from the class
}

// member reads a member of the whole.
func (c *catalogReader) member(key string) error {
	var err error
	switch key {
	case "catalog":
		c.file.catalog, err = c.int()
	case "version":
		c.schema.Version, err = c.string()
	case "categories":
		err = c.object(c.category)
	case "extensions":
		err = c.object(c.extension)
	case "profiles":
		err = c.object(c.profile)
	case "types":
		err = c.object(c.dataType)
	case "enums":
		c.file.enums, err = table(c, c.enumRow)
	case "attributes":
		c.file.attributes, err = table(c, func(row *string) (err error) { *row, err = c.string(); return err })
	case "objects":
		c.file.objects, err = table(c, func(row *catalogItem) error {
			return c.object(func(key string) error { return c.itemMember(row, key) })
		})
	case "classes":
		c.file.classes, err = table(c, c.classRow)
	default:
		err = invalid("", "a catalog has no such member")
	}
	return err
}

func table[T any](c *catalogReader, read func(*T) error) ([]keyed[T], error) {
	var rows []keyed[T]
	err := c.object(func(key string) error {
		rows = append(rows, keyed[T]{key: key})
		return read(&rows[len(rows)-1].row)
	})
	return rows, err
}

func (c *catalogReader) category(name string) error {
	var row catalogCategory
	err := c.value(&row)
	c.schema.Categories[name] = &Category{Name: name, Caption: row.Caption, UID: row.UID}
	return err
}

func (c *catalogReader) extension(name string) error {
	var row catalogExtension
	err := c.value(&row)
	c.schema.Extensions[name] = &Extension{Name: name, Caption: row.Caption, UID: row.UID, Version: row.Version}
	return err
}

func (c *catalogReader) profile(name string) error {
	var row catalogProfile
	err := c.value(&row)
	c.schema.Profiles[name] = &Profile{Name: name, Caption: row.Caption, Extension: row.Extension}
	return err
}

func (c *catalogReader) dataType(name string) error {
	var t catalogType
	if err := cmp.Or(checkWord("", name), c.value(&t)); err != nil {
		return err
	}
	if len(t.Values) == 0 {
		t.Values = nil
	}
	c.schema.Types[name] = &Type{
		Name: name, Caption: t.Caption, Super: t.Super, Regex: t.Regex,
		MaxLen: t.MaxLen, Range: t.Range, Values: t.Values,
	}
	return nil
}

func (c *catalogReader) enumRow(row *catalogEnum) error {
	return c.object(func(key string) (err error) {
		switch key {
		case "values":
			row.Values, err = c.strings(make([]string, 0, 16))
		case "deprecated":
			err = c.value(&row.Deprecated)
		default:
			err = invalid("", "an enum has no such member")
		}
		return err
	})
}

func (c *catalogReader) classRow(row *catalogClass) error {
	return c.object(func(key string) (err error) {
		switch key {
		case "uid":
			row.UID, err = c.int()
		case "category":
			row.Category, err = c.string()
		case "category_uid":
			row.CategoryUID, err = c.int()
		default:
			err = c.itemMember(&row.catalogItem, key)
		}
		return err
	})
}

func (c *catalogReader) itemMember(row *catalogItem, key string) (err error) {
	switch key {
	case "caption":
		row.Caption, err = c.string()
	case "extends":
		row.Extends, err = c.string()
	case "extension":
		row.Extension, err = c.string()
	case "deprecated":
		row.Deprecated = new(string)
		*row.Deprecated, err = c.string()
	case "profiles":
		row.Profiles, err = c.string()
	case "constraints":
		row.Constraints = make(map[string][]string)
		err = c.object(func(keyword string) (err error) {
			row.Constraints[keyword], err = c.strings(make([]string, 0, 4))
			return err
		})
	case "like":
		row.Like, err = c.string()
	case "attributes":
		row.Attributes, err = c.string()
	default:
		err = invalid("", "a class or object has no such member")
	}
	return err
}
