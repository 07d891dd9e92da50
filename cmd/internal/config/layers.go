// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/strictoml"
)

// A layer is one source of values, as koanf loads it.
type layer struct{ values map[string]any }

func (l layer) Read() (map[string]any, error) { return l.values, nil }

func (layer) ReadBytes() ([]byte, error) { return nil, errors.New("a layer has no bytes") }

// Keys returns every key that has one value as "table.key", sorted. Lists of tables,
// such as [[auth.certificates]], are in the file alone.
func Keys() []string {
	var keys []string
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		table, ok := t.Field(i).Tag.Lookup("koanf")
		if !ok || table == "-" {
			continue
		}
		for j := range t.Field(i).Type.NumField() {
			if f := t.Field(i).Type.Field(j); !isTables(f.Type) {
				keys = append(keys, table+"."+f.Tag.Get("koanf"))
			}
		}
	}
	slices.Sort(keys)
	return keys
}

func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// Variable returns the environment variable of a key.
func Variable(key string) string {
	return "DOCKET_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// injected are the variables that a cluster sets for a service of its own that
// is called docket-api, say: nobody wrote them, so they are no typos.
var injected = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// fromEnvironment picks the variables that are keys. One that names a table and
// no key of it is a typo, and an error as it is in the file. Others that begin
// with DOCKET_ are left alone.
func fromEnvironment(environ []string) (map[string]any, []string, error) {
	byVariable, tables := map[string]string{}, map[string]bool{"interceptors": true}
	for _, key := range Keys() {
		byVariable[Variable(key)] = key
		table, _, _ := strings.Cut(key, ".")
		tables[table] = true
	}
	values := map[string]any{}
	var keys []string
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(name, "DOCKET_")
		if !ok {
			continue
		}
		key, ok := byVariable[name]
		if !ok {
			table, _, more := strings.Cut(strings.ToLower(rest), "_")
			if !more || !tables[table] || injected.MatchString(name) {
				continue
			}
			err := fmt.Errorf("environment: unknown variable %s", name)
			if near := strictoml.Suggest(name, slices.Sorted(maps.Keys(byVariable))); near != "" {
				return nil, nil, cli.Hint(err, "did you mean %s?", near)
			}
			return nil, nil, cli.Hint(err, "[%s] has no such key that a variable can give; `docket init` writes a file with every key", table)
		}
		v, err := valueOf(key, text)
		if err != nil {
			return nil, nil, &Error{File: "environment variable " + name, Err: err}
		}
		put(values, key, v)
		keys = append(keys, key)
	}
	return values, keys, nil
}

// valueOf reads the text of a value, while it is known who gave it.
func valueOf(key, text string) (any, error) {
	table, name, _ := strings.Cut(key, ".")
	field := byTag(byTag(reflect.ValueOf(Config{}), table), name)
	if field.Kind() == reflect.String {
		if err := checkWord(key, text); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return text, nil
	}
	v := reflect.New(field.Type())
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return v.Elem().Interface(), nil
	}
	switch field.Kind() {
	case reflect.Slice:
		list := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		return list, nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%s: %q is neither true nor false", key, text)
		}
		return text == "true", nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not a whole number", key, text)
	}
	return n, nil
}

// fromFlags reads the values of --set.
func fromFlags(set []string) (map[string]any, []string, error) {
	values := map[string]any{}
	var keys []string
	for _, kv := range set {
		key, value, ok := strings.Cut(kv, "=")
		key = strings.TrimSpace(key)
		if !ok {
			return nil, nil, cli.Usage(cli.Hint(fmt.Errorf("--set %s: no value", kv), "write --set TABLE.KEY=VALUE"))
		}
		if !slices.Contains(Keys(), key) {
			if isURL(value) { // which may have a password
				kv = key + "=..."
			}
			err := fmt.Errorf("--set %s: unknown key %q", kv, key)
			if near := strictoml.Suggest(key, Keys()); near != "" {
				err = cli.Hint(err, "did you mean %q?", near)
			}
			return nil, nil, cli.Usage(err)
		}
		v, err := valueOf(key, value)
		if err != nil {
			return nil, nil, cli.Usage(cli.Hint(fmt.Errorf("--set %w", err), "`docket init` writes a file with every key and what it takes"))
		}
		put(values, key, v)
		keys = append(keys, key)
	}
	return values, keys, nil
}

func put(values map[string]any, key string, v any) {
	table, name, _ := strings.Cut(key, ".")
	m, ok := values[table].(map[string]any)
	if !ok {
		m = map[string]any{}
		values[table] = m
	}
	m[name] = v
}

// flatten returns the non-zero values of c as nested maps.
func flatten(c Config) (map[string]any, error) {
	values := map[string]any{}
	v := reflect.ValueOf(c)
	for _, key := range Keys() {
		table, name, _ := strings.Cut(key, ".")
		field := byTag(byTag(v, table), name)
		if !field.IsValid() {
			return nil, fmt.Errorf("read configuration: key %s has no field", key)
		}
		if !field.IsZero() {
			put(values, key, field.Interface())
		}
	}
	return values, nil
}

func byTag(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("koanf") == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}
