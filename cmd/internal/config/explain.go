// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docket-audit/docket/internal/regular"
	"github.com/docket-audit/docket/internal/strictoml"
)

// Where a value is from.
const (
	FromFlag        = "flag"
	FromEnvironment = "environment"
	FromFile        = "file"
	FromDefault     = "default"
)

// An Explained key is what it is and who said so.
type Explained struct {
	Key   string `json:"key"`
	Value string `json:"value"` // as it is in force; "" where the part that takes it has a default of its own
	From  string `json:"from"`
	Where string `json:"where"` // FILE:LINE, the variable, or --set
	// Variable is the environment variable that would say it.
	Variable string `json:"variable"`
}

// Explain returns every key, sorted. Secrets in values are left out.
func (c *Config) Explain() ([]Explained, error) {
	lines, err := linesOf(c.File)
	if err != nil {
		return nil, err
	}
	_, byVariable, err := fromEnvironment(c.environ)
	if err != nil {
		return nil, err
	}
	_, byFlag, err := fromFlags(c.set)
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for _, key := range Keys() {
		keys[key] = true
	}
	for key := range lines { // of [gateway] and [audit] there are more
		keys[key] = true
	}
	var all []Explained
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		e := Explained{Key: key, Value: c.shown(key), From: FromDefault}
		if slices.Contains(Keys(), key) {
			e.Variable = Variable(key)
		}
		switch {
		case slices.Contains(byFlag, key):
			e.From, e.Where = FromFlag, "--set"
		case slices.Contains(byVariable, key):
			e.From, e.Where = FromEnvironment, e.Variable
		case lines[key] > 0:
			e.From, e.Where = FromFile, c.File+":"+strconv.Itoa(lines[key])
		}
		all = append(all, e)
	}
	return all, nil
}

// shown is the value of a key for people.
func (c *Config) shown(key string) string {
	table, name, _ := strings.Cut(key, ".")
	section := byTag(reflect.ValueOf(*c), table)
	if section.IsValid() {
		if v := byTag(section, name); v.IsValid() {
			return text(v.Interface())
		}
	}
	return text(c.values[key])
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return withoutPasswords(v)
	case Keep:
		return string(v)
	case DSN:
		return v.String()
	case Duration:
		if v == 0 {
			return ""
		}
		return time.Duration(v).String()
	case Bytes:
		return v.text()
	case Rules:
		return strings.Join(v.List, "; ")
	case Canaries: // the patterns may be secrets
		names := make([]string, len(v.List))
		for i, c := range v.List {
			names[i] = c.Name
		}
		return strings.Join(names, ", ")
	case int:
		return numberText(int64(v))
	case int64:
		return numberText(v)
	}
	return fmt.Sprint(v)
}

func numberText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// text writes an amount as short as it can be read back.
func (n Bytes) text() string {
	if n == 0 {
		return ""
	}
	for _, u := range units {
		if Bytes(u.factor) > 1 && n%Bytes(u.factor) == 0 && n/Bytes(u.factor) < 1024 {
			return strconv.FormatInt(int64(n)/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(n), 10)
}

// withoutPasswords takes passwords out of a list of URLs.
func withoutPasswords(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	parts := strings.Split(s, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		switch {
		case err != nil:
			parts[i] = "(not shown: a URL that cannot be read)"
		case u.User != nil:
			parts[i] = u.Redacted()
		}
	}
	return strings.Join(parts, ",")
}

// linesOf returns the line of each key in the file, "table.key".
func linesOf(file string) (map[string]int, error) {
	if file == "" {
		return nil, nil
	}
	b, err := regular.ReadAtMost(file, maxFile)
	if err != nil {
		return nil, &Error{File: file, Err: err}
	}
	doc, err := strictoml.Parse(file, b)
	if err != nil {
		return nil, err
	}
	// Positions are told of the tables that somebody asks for.
	var tables []reflect.StructField
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("koanf"); name != "" && name != "-" {
			tables = append(tables, reflect.StructField{Name: t.Field(i).Name, Type: reflect.TypeFor[placed](), Tag: reflect.StructTag(`toml:"` + name + `"`)})
		}
	}
	tables = append(tables, reflect.StructField{Name: "Rest", Type: reflect.TypeFor[map[string]any](), Tag: `toml:",rest"`})
	shape := reflect.New(reflect.StructOf(tables))
	if err := doc.Decode(shape.Interface()); err != nil {
		return nil, errors.Join(errors.New("read the places of keys"), err)
	}
	lines := map[string]int{}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("koanf")
		if name == "" || name == "-" {
			continue
		}
		p := shape.Elem().FieldByName(t.Field(i).Name).Interface().(placed)
		for key := range p.Keys {
			lines[name+"."+key] = p.Pos.Line(key)
		}
	}
	return lines, nil
}

// A placed is a table of which only the places matter.
type placed struct {
	Pos  strictoml.Pos
	Keys map[string]any `toml:",rest"`
}
