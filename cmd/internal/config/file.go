// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/docket-audit/docket/internal/regular"
	"github.com/docket-audit/docket/internal/strictoml"
)

// foreign are the tables that package chainfile reads and checks. The plain
// keys of the first two can be overridden, so their values are taken as well.
var foreign = []string{"gateway", "audit", "interceptors", "openshell", "capture", "redact", "tokens"}

// governing are those of them that say that something is governed.
var governing = []string{"gateway", "interceptors", "openshell"}

// maxFile is the size of a file that nobody writes by hand.
const maxFile = 16 << 20

// readFile reads the file strictly and returns its values as nested maps, and
// whether it says what is governed.
func readFile(file string) (values map[string]any, governs bool, err error) {
	b, err := regular.ReadAtMost(file, maxFile)
	switch {
	case errors.Is(err, regular.ErrNot):
		return nil, false, &Error{File: file, Err: err, Advice: "write what it gives to a file, and name that"}
	case err != nil:
		return nil, false, &Error{File: file, Err: err, Advice: "write one with `docket init`"}
	}
	doc, err := strictoml.Parse(file, b)
	if err != nil {
		return nil, false, err
	}
	shape := reflect.New(shapeOf())
	if err := doc.Decode(shape.Interface()); err != nil {
		return nil, false, err
	}
	if err := checkTexts(shape.Elem()); err != nil {
		return nil, false, err
	}
	if err := toml.Unmarshal(b, &values); err != nil {
		return nil, false, &Error{File: file, Err: err} // strictoml has read it
	}
	for _, table := range foreign {
		governs = governs || (slices.Contains(governing, table) && values[table] != nil)
		// What chainfile refuses must be refused by chainfile, in its words.
		if _, ok := values[table].(map[string]any); !ok || table != "gateway" && table != "audit" {
			delete(values, table)
		}
	}
	return values, governs, nil
}

// shapeOf returns the type of a file: for each table of [Config] a struct of the
// same keys, with the TOML types that stand for them, and the tables of
// chainfile as they come.
func shapeOf() reflect.Type {
	tag := func(name string) reflect.StructTag { return reflect.StructTag(`toml:"` + name + `"`) }
	var tables []reflect.StructField
	for _, name := range foreign {
		tables = append(tables, reflect.StructField{Name: "Foreign_" + name, Type: reflect.TypeFor[any](), Tag: tag(name)})
	}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("koanf")
		if name == "" || name == "-" || name == "gateway" || name == "audit" {
			continue
		}
		keys := []reflect.StructField{{Name: "Pos", Type: reflect.TypeFor[strictoml.Pos]()}}
		for _, f := range reflect.VisibleFields(t.Field(i).Type) {
			kind := f.Type
			if reflect.PointerTo(kind).Implements(textType) {
				kind = reflect.TypeFor[string]()
			}
			keys = append(keys, reflect.StructField{Name: f.Name, Type: kind, Tag: tag(f.Tag.Get("koanf"))})
		}
		tables = append(tables, reflect.StructField{Name: t.Field(i).Name, Type: reflect.StructOf(keys), Tag: tag(name)})
	}
	return reflect.StructOf(tables)
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// checkTexts reads the values that are written as texts, while it is known
// where they stand.
func checkTexts(shape reflect.Value) error {
	t := reflect.TypeFor[Config]()
	for i := range shape.NumField() {
		name := shape.Type().Field(i).Name
		if strings.HasPrefix(name, "Foreign_") {
			continue
		}
		want, _ := t.FieldByName(name)
		pos := shape.Field(i).FieldByName("Pos").Interface().(strictoml.Pos)
		for _, f := range reflect.VisibleFields(want.Type) {
			key := f.Tag.Get("koanf")
			if !pos.Has(key) {
				continue
			}
			given := shape.Field(i).FieldByName(f.Name)
			if list, ok := given.Interface().([]Certificate); ok {
				for i := range list {
					if err := list[i].check(); err != nil {
						return err
					}
				}
			}
			text := given.String()
			err := checkWord(want.Tag.Get("koanf")+"."+key, text)
			if v, ok := reflect.New(f.Type).Interface().(encoding.TextUnmarshaler); ok {
				err = v.UnmarshalText([]byte(text))
			}
			if err != nil {
				return pos.Errorf(key, "", "%s: %v", key, err)
			}
		}
	}
	return nil
}
