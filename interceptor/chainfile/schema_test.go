// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/schemas/jsonschema"
)

// keysOf lists the keys that a table takes.
func keysOf(table any) []string {
	var keys []string
	t := reflect.TypeOf(table)
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "" && tag != ",rest" {
			keys = append(keys, tag)
		}
	}
	slices.Sort(keys)
	return keys
}

type schemaNode struct {
	Properties map[string]schemaNode `json:"properties"`
	Items      *schemaNode           `json:"items"`
	Defs       map[string]schemaNode `json:"$defs"`
}

func (n schemaNode) keys() []string {
	var keys []string
	for k := range n.Properties {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// The published schema knows the keys that the package reads, and no others.
func TestSchemaHasTheKeys(t *testing.T) {
	var schema schemaNode
	if err := json.Unmarshal(jsonschema.Config, &schema); err != nil {
		t.Fatal(err)
	}
	openShell := slices.DeleteFunc(keysOf(interceptorTable{}), func(k string) bool { return slices.Contains(ownServiceKeys, k) })
	openShellBinding := slices.DeleteFunc(keysOf(bindingTable{}), func(k string) bool { return slices.Contains(ownBindingKeys, k) })
	for _, c := range []struct {
		name      string
		want, got []string
	}{
		{"the file", keysOf(document{}), schema.keys()},
		{"gateway", keysOf(gatewayTable{}), schema.Properties["gateway"].keys()},
		{"audit", keysOf(auditTable{}), schema.Properties["audit"].keys()},
		{"interceptors", keysOf(interceptorTable{}), schema.Defs["interceptor"].keys()},
		{"openshell.gateway.interceptors", openShell, schema.Defs["openshell_interceptor"].keys()},
		{"capture", keysOf(captureTable{}), schema.Properties["capture"].keys()},
		{"redact", keysOf(redactTable{}), schema.Properties["redact"].Items.keys()},
		{"tokens", keysOf(tokensTable{}), schema.Properties["tokens"].keys()},
		{"openshell.gateway.interceptors.bindings", openShellBinding, schema.Defs["openshell_binding"].keys()},
		{"bindings", keysOf(bindingTable{}), schema.Defs["binding"].keys()},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: the schema lacks (-) or has too many (+) keys:\n%s", c.name, d)
		}
	}
}
