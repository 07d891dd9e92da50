// SPDX-License-Identifier: Apache-2.0

package strictoml

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Decode fills the struct that into points to from the file.
func (f *File) Decode(into any) error {
	return f.decode("", "the file", f.root, reflect.ValueOf(into).Elem())
}

var posType = reflect.TypeFor[Pos]()

// field is a struct field that takes a key.
type field struct {
	name  string
	value reflect.Value
}

// fields lists what the struct takes: the keys, and the map for the rest if
// there is one. It fills positions in passing.
func (f *File) fields(path string, s reflect.Value) (keys []field, rest reflect.Value) {
	for i := range s.NumField() {
		tag := s.Type().Field(i).Tag.Get("toml")
		switch {
		case s.Field(i).Type() == posType:
			s.Field(i).Set(reflect.ValueOf(Pos{file: f, path: path}))
		case tag == ",rest":
			rest = s.Field(i)
		case tag != "":
			keys = append(keys, field{name: tag, value: s.Field(i)})
		}
	}
	return keys, rest
}

func (f *File) table(path, where string, table map[string]any, s reflect.Value) error {
	keys, rest := f.fields(path, s)
	known := make([]string, 0, len(keys))
	for _, k := range keys {
		known = append(known, k.name)
	}
	for _, name := range f.byLine(path, table) {
		i := slices.Index(known, name)
		switch {
		case i >= 0:
			if err := f.decode(child(path, name), name, table[name], keys[i].value); err != nil {
				return err
			}
		case rest.IsValid():
			if rest.IsNil() {
				rest.Set(reflect.MakeMap(rest.Type()))
			}
			rest.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(table[name]))
		default:
			return f.unknown(path, where, name, known)
		}
	}
	return nil
}

// byLine gives the table's keys as the file has them, so that the first error
// is the first in the file, each time.
func (f *File) byLine(path string, table map[string]any) []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := f.lines[child(path, a)] - f.lines[child(path, b)]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

func (f *File) unknown(path, where, name string, known []string) error {
	slices.Sort(known)
	hint := "known keys: " + strings.Join(known, ", ")
	if s := Suggest(name, known); s != "" {
		hint = fmt.Sprintf("did you mean %q?", s)
	}
	return &Error{File: f.name, Line: f.lines[child(path, name)], Msg: fmt.Sprintf("unknown key %q in %s", name, where), hint: hint}
}

// decode puts v, which stands at path, into the value.
func (f *File) decode(path, name string, v any, into reflect.Value) error {
	wrong := func(want string) error {
		return &Error{File: f.name, Line: f.lines[path], Msg: fmt.Sprintf("%s must be %s, not %s", name, want, describe(v))}
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return f.decode(path, name, v, into.Elem())
	case reflect.Struct:
		t, ok := v.(map[string]any)
		if !ok {
			return wrong("a table")
		}
		return f.table(path, name, t, into)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return wrong("an array")
		}
		into.Set(reflect.MakeSlice(into.Type(), len(list), len(list)))
		for i := range list {
			if err := f.decode(element(path, i), name, list[i], into.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Map, reflect.Interface:
		if rv := reflect.ValueOf(v); rv.Type().AssignableTo(into.Type()) {
			into.Set(rv)
			return nil
		}
		return wrong("a table")
	default:
		return scalar(v, into, wrong)
	}
}

func scalar(v any, into reflect.Value, wrong func(string) error) error {
	switch into.Kind() {
	case reflect.String:
		s, ok := v.(string)
		if !ok {
			return wrong("a string")
		}
		into.SetString(s)
	case reflect.Bool:
		b, ok := v.(bool)
		if !ok {
			return wrong("true or false")
		}
		into.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := v.(int64)
		if !ok {
			return wrong("an integer")
		}
		if into.OverflowInt(n) {
			return wrong(fmt.Sprintf("an integer of %d bits", into.Type().Bits()))
		}
		into.SetInt(n)
	case reflect.Float64:
		switch n := v.(type) {
		case float64:
			if math.IsNaN(n) || math.IsInf(n, 0) {
				return wrong("a finite number")
			}
			into.SetFloat(n)
		case int64:
			into.SetFloat(float64(n))
		default:
			return wrong("a number")
		}
	default:
		return fmt.Errorf("decode into %s: no such kind of field", into.Type())
	}
	return nil
}

func describe(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return fmt.Sprintf("the integer %d", v)
	case float64:
		return "a float"
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	default:
		return "a date or time"
	}
}
