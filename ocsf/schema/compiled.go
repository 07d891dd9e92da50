// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// compileVersion is the only form of compiled schemas that there is.
const compileVersion = 1

// ReadCompiled reads a schema in the form that the official compiler writes
// (compile_version 1). It keeps facts and leaves prose out: descriptions,
// references, groups, sources, observables and the messages of deprecations.
//
// The error is an *[InvalidError] when r does not hold such a schema, else what
// reading r failed with. Arbitrary input is safe.
func ReadCompiled(r io.Reader) (*Schema, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	var file struct {
		Version        string          `json:"version"`
		CompileVersion *int            `json:"compile_version"`
		Categories     compiledTable   `json:"categories"`
		Dictionary     json.RawMessage `json:"dictionary"`
		Classes        json.RawMessage `json:"classes"`
		Objects        json.RawMessage `json:"objects"`
		Profiles       json.RawMessage `json:"profiles"`
		Extensions     json.RawMessage `json:"extensions"`
	}
	if err := decode("", text, &file); err != nil {
		return nil, err
	}
	switch {
	case file.CompileVersion == nil:
		return nil, invalid("compile_version", "it is missing; is this the output of the schema compiler?")
	case *file.CompileVersion != compileVersion:
		return nil, invalid("compile_version", "%d is not supported, only %d", *file.CompileVersion, compileVersion)
	case file.Version == "":
		return nil, invalid("version", "it is missing")
	}
	c := &compiled{schema: &Schema{Version: file.Version}}
	s := c.schema
	s.Categories = entries(c, "categories.attributes", file.Categories.Attributes, c.category)
	s.Extensions = entries(c, "extensions", file.Extensions, c.extension)
	s.Profiles = entries(c, "profiles", file.Profiles, c.profile)
	var dictionary struct {
		Types compiledTable `json:"types"`
	}
	if len(file.Dictionary) > 0 {
		c.fail(decode("dictionary", file.Dictionary, &dictionary))
	}
	s.Types = entries(c, "dictionary.types.attributes", dictionary.Types.Attributes, c.dataType)
	c.objects = entries(c, "objects", file.Objects, func(path, _ string, text json.RawMessage) *json.RawMessage { return &text })
	s.Objects = make(map[string]*Object, len(c.objects))
	for _, name := range slices.Sorted(maps.Keys(c.objects)) {
		s.Objects[name] = c.object("objects."+name, name, *c.objects[name])
	}
	s.Classes = entries(c, "classes", file.Classes, c.class)
	c.fail(s.check())
	if c.err != nil {
		return nil, c.err
	}
	return s, nil
}

// compiledTable is the compiler's form of a list with a name.
type compiledTable struct {
	Attributes json.RawMessage `json:"attributes"`
}

// A compiled is a schema half read.
type compiled struct {
	schema  *Schema
	objects map[string]*json.RawMessage
	err     error // the first one; what comes after it does not matter
}

func (c *compiled) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// entries reads a table, in the order of its keys, so that of several faults
// the same one is always reported.
func entries[T any](c *compiled, path string, text json.RawMessage, read func(path, name string, text json.RawMessage) *T) map[string]*T {
	var rows map[string]json.RawMessage
	if len(text) > 0 {
		c.fail(decode(path, text, &rows))
	}
	if rows == nil {
		c.fail(invalid(path, "it is missing"))
	}
	table := make(map[string]*T, len(rows))
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if c.err != nil {
			break
		}
		c.fail(within(path, checkWord(name, name)))
		table[name] = read(path+"."+name, name, rows[name])
	}
	return table
}

func (c *compiled) category(path, name string, text json.RawMessage) *Category {
	row := struct {
		Caption string `json:"caption"`
		UID     *int   `json:"uid"`
	}{}
	c.fail(decode(path, text, &row))
	return &Category{Name: name, Caption: row.Caption, UID: c.uid(path, row.UID)}
}

func (c *compiled) uid(path string, uid *int) int {
	if uid == nil {
		c.fail(invalid(path+".uid", "it is missing"))
		return 0
	}
	return *uid
}

func (c *compiled) extension(path, name string, text json.RawMessage) *Extension {
	row := struct {
		Caption string `json:"caption"`
		UID     *int   `json:"uid"`
		Version string `json:"version"`
	}{}
	c.fail(decode(path, text, &row))
	return &Extension{Name: name, Caption: row.Caption, UID: c.uid(path, row.UID), Version: row.Version}
}

func (c *compiled) profile(path, name string, text json.RawMessage) *Profile {
	row := struct {
		Caption   string `json:"caption"`
		Extension string `json:"extension"`
	}{}
	c.fail(decode(path, text, &row))
	return &Profile{Name: name, Caption: row.Caption, Extension: row.Extension}
}

func (c *compiled) dataType(path, name string, text json.RawMessage) *Type {
	row := struct {
		Caption string          `json:"caption"`
		Type    string          `json:"type"`
		Regex   string          `json:"regex"`
		MaxLen  int             `json:"max_len"`
		Range   []int64         `json:"range"`
		Values  json.RawMessage `json:"values"`
	}{}
	c.fail(decode(path, text, &row))
	t := &Type{Name: name, Caption: row.Caption, Super: row.Type, Regex: row.Regex, MaxLen: row.MaxLen}
	if row.Range != nil {
		if len(row.Range) != 2 {
			c.fail(invalid(path+".range", "it has %d numbers instead of two", len(row.Range)))
			return t
		}
		t.Range = (*[2]int64)(row.Range)
	}
	if row.Values != nil {
		c.fail(decode(path+".values", row.Values, &t.Values))
	}
	if len(t.Values) == 0 {
		t.Values = nil
	}
	return t
}

// compiledItem is a class or an object.
type compiledItem struct {
	Caption     string              `json:"caption"`
	Extends     string              `json:"extends"`
	Extension   string              `json:"extension"`
	Profiles    []string            `json:"profiles"`
	Deprecated  *compiledSince      `json:"@deprecated"`
	Constraints map[string][]string `json:"constraints"`
	Attributes  json.RawMessage     `json:"attributes"`
	UID         *int                `json:"uid"`
	Category    string              `json:"category"`
	CategoryUID *int                `json:"category_uid"`
}

type compiledSince struct {
	Since string `json:"since"`
}

func (d *compiledSince) deprecation() *Deprecation {
	if d == nil {
		return nil
	}
	return &Deprecation{Since: d.Since}
}

func (c *compiled) item(path, name string, row *compiledItem) Item {
	it := Item{
		Name: name, Caption: row.Caption, Extends: row.Extends, Extension: row.Extension,
		Profiles: c.words(path+".profiles", row.Profiles), Deprecated: row.Deprecated.deprecation(),
	}
	if len(row.Constraints) > 0 {
		it.Constraints = row.Constraints
	}
	for keyword, names := range it.Constraints {
		if names == nil {
			c.fail(invalid(path+".constraints."+keyword, "it is no list"))
		}
	}
	it.Attributes = entries(c, path+".attributes", row.Attributes, c.attribute)
	return it
}

// words sorts a list of names; null and empty are the same.
func (c *compiled) words(path string, list []string) []string {
	if len(list) == 0 {
		return nil
	}
	for i, word := range list {
		c.fail(checkWord(path+"["+strconv.Itoa(i)+"]", word))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (c *compiled) object(path, name string, text json.RawMessage) *Object {
	var row compiledItem
	c.fail(decode(path, text, &row))
	return &Object{Item: c.item(path, name, &row)}
}

func (c *compiled) class(path, name string, text json.RawMessage) *Class {
	var row compiledItem
	c.fail(decode(path, text, &row))
	class := &Class{Item: c.item(path, name, &row), UID: c.uid(path, row.UID), Category: row.Category}
	if row.CategoryUID == nil {
		c.fail(invalid(path+".category_uid", "it is missing"))
		return class
	}
	class.CategoryUID = *row.CategoryUID
	return class
}

func (c *compiled) attribute(path, name string, text json.RawMessage) *Attribute {
	row := struct {
		Caption     string          `json:"caption"`
		Type        string          `json:"type"`
		ObjectType  string          `json:"object_type"`
		IsArray     bool            `json:"is_array"`
		Requirement Requirement     `json:"requirement"`
		Profiles    []string        `json:"profiles"`
		Sibling     string          `json:"sibling"`
		Enum        json.RawMessage `json:"enum"`
		Deprecated  *compiledSince  `json:"@deprecated"`
	}{Requirement: Optional}
	c.fail(decode(path, text, &row))
	a := &Attribute{
		Name: name, Caption: row.Caption, Type: row.Type, IsArray: row.IsArray,
		Requirement: row.Requirement, Profiles: c.words(path+".profiles", row.Profiles),
		Sibling: row.Sibling, Deprecated: row.Deprecated.deprecation(),
	}
	if a.Type == objectType {
		a.ObjectType = row.ObjectType
	}
	if a.Sibling != "" {
		c.fail(checkWord(path+".sibling", a.Sibling))
	}
	if a.Deprecated != nil && a.Deprecated.Since != "" {
		c.fail(checkWord(path+".@deprecated.since", a.Deprecated.Since))
	}
	if len(row.Enum) > 0 && !bytes.Equal(row.Enum, []byte("null")) {
		a.Enum = c.enum(path+".enum", row.Enum)
	}
	c.fail(within(path, c.schema.checkAttribute(a, func(name string) bool { return c.objects[name] != nil })))
	return a
}

func (c *compiled) enum(path string, text json.RawMessage) []EnumValue {
	var rows map[string]struct {
		Caption    string         `json:"caption"`
		Deprecated *compiledSince `json:"@deprecated"`
	}
	c.fail(decode(path, text, &rows))
	values := make([]EnumValue, 0, len(rows))
	for value, row := range rows {
		values = append(values, EnumValue{Value: value, Caption: row.Caption, Deprecated: row.Deprecated.deprecation()})
	}
	sortEnum(values)
	return values
}

// sortEnum sorts by number when all values are numbers, else by text.
func sortEnum(values []EnumValue) {
	numbers := make(map[string]int64, len(values))
	for _, v := range values {
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			numbers[v.Value] = n
		}
	}
	slices.SortFunc(values, func(a, b EnumValue) int {
		if len(numbers) == len(values) && numbers[a.Value] != numbers[b.Value] {
			if numbers[a.Value] < numbers[b.Value] {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Value, b.Value)
	})
}

// decode decodes JSON and says where it is not what it should be. Numbers in
// values of no fixed type stay text.
func decode(path string, text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			return invalid(path, "something follows the JSON value")
		}
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field != "" {
			path = strings.TrimPrefix(path+"."+wrong.Field, ".")
		}
		return invalid(path, "it holds a JSON %s", wrong.Value)
	}
	return invalid(path, "%v", err)
}
