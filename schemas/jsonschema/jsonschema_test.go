// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Config))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("docket.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("docket.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// instance reads TOML as the values of JSON.
func instance(t *testing.T, text []byte) any {
	t.Helper()
	var v map[string]any
	if err := toml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	schema := compile(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(instance(t, text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestConfig(t *testing.T) {
	const allow = "[gateway]\nunmatched=\"allow\"\n"
	a := allow + "[[interceptors]]\nname=\"a\"\n"
	b := a + "[[interceptors.bindings]]\n"
	open := "[[openshell.gateway.interceptors]]\nname=\"a\"\n"
	schema := compile(t)
	for _, c := range []struct {
		text  string
		valid bool
	}{
		{a, true},
		{open, true},
		{"[openshell]\nversion=1\n[openshell.gateway.any]\nthing=1\n", true},
		{allow + open, true},
		{a + "timeout=\"2s\"\nmax_patches=1\nsettings={x=[1]}\n", true},
		{b + "id=\"x\"\nphases=[\"validate\"]\nfailure_policy=\"ignore\"\n", true},
		{b + "service=\"s\"\nmethod=\"m\"\n", true},
		{"[tenant]\nfixed=\"acme\"\n[nats]\nreplicas=3\n[emitter]\nwal_max=\"64MiB\"\nhead_interval=\"1m30s\"\n", true},

		{"[api]\ntls_cert=\"a.pem\"\ntls_key=\"a.key\"\nclient_ca=\"ca.pem\"\nhostname=\"a.example\"\ncors_origins=[\"https://ok.example\",\"http://localhost:5173\"]\n", true},
		{"[auth]\nhs256_keys=[\"a\"]\njwks=\"https://issuer.example/jwks.json\"\nleeway=\"2s\"\n[[auth.certificates]]\nname=\"spiffe://a/b\"\ncapabilities=[\"read\"]\nprefixes=[\"/\"]\n", true},
		{"[auth]\njwks=\"keys/jwks.json\"\n", true},

		{"[api]\ntls_cert=\"a.pem\"\n", false},
		{"[api]\nclient_ca=\"a.pem\"\n", false},
		{"[api]\ncors_origins=[\"*\"]\n", false},
		{"[api]\ncors_origins=[\"https://ok.example/\"]\n", false},
		{"[auth]\njwks=\"http://issuer.example/jwks.json\"\n", false},
		{"[[auth.certificates]]\nname=\"a\"\ncapabilities=[\"reed\"]\nprefixes=[\"/\"]\n", false},
		{"[[auth.certificates]]\nname=\"a\"\ncapabilities=[\"read\"]\nprefixes=[]\n", false},
		{"[gatway]\n", false},
		{"[[interceptors]]\nname=\"a\"\n", false},
		{"[gateway]\nlisten=\"x\"\n[[interceptors]]\nname=\"a\"\n", false},
		{"[gateway]\nunmatched=\"maybe\"\n", false},
		{a + open, false},
		{allow + "[[interceptors]]\norder=1\n", false},
		{a + "tiemout=\"1s\"\n", false},
		{a + "timeout=\"1m\"\n", false},
		{a + "max_patches=0\n", false},
		{a + "grpc_endpoint=\"x:1\"\n", false},
		{open + "settings={}\n", false},
		{b + "phases=[]\n", false},
		{b + "phases=[\"pre_request\"]\n", false},
		{b + "service=\"s\"\n", false},
		{b + "rpc=\"s/m\"\nservice=\"s\"\nmethod=\"m\"\n", false},
		{b + "rpc=\"s.m\"\n", false},
		{"[emitter]\nwal_max=\"much\"\n", false},
	} {
		if err := schema.Validate(instance(t, []byte(c.text))); (err == nil) != c.valid {
			t.Errorf("valid should be %v: %v\n%s", c.valid, err, c.text)
		}
	}
}
