// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docket-audit/docket/ocsf/schema"
)

// The catalogs make the Go files that are checked in, and no others are there.
func TestGoIsFresh(t *testing.T) {
	schemas, err := readCatalogs(catalogDir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := goFiles(schemas)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("../../*_gen.go")
	if err != nil || len(names) != len(want) {
		t.Errorf("there are %v, %v; want %d files", names, err, len(want))
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil || string(got) != string(text) {
			t.Errorf("%s is stale (%v): run go generate ./ocsf/...", name, err)
		}
	}
}

// A union is refused where one Go type could not serve two versions.
func TestUnionRefuses(t *testing.T) {
	attribute := func(kind string) map[string]*schema.Attribute {
		return map[string]*schema.Attribute{
			"x":           {Name: "x", Type: kind},
			"activity_id": {Name: "activity_id", Type: "integer_t", Enum: []schema.EnumValue{{Value: "0", Caption: "Unknown"}}},
			"status_id":   {Name: "status_id", Type: "integer_t", Enum: []schema.EnumValue{{Value: "0", Caption: "Unknown"}}},
		}
	}
	with := func(version, kind string) *schema.Schema {
		return &schema.Schema{Version: version, Classes: map[string]*schema.Class{"c": {Item: schema.Item{Name: "c", Attributes: attribute(kind)}}}}
	}
	if _, err := newUnion([]*schema.Schema{with("1", "string_t"), with("2", "string_t")}); err != nil {
		t.Errorf("two that agree: %v", err)
	}
	_, err := newUnion([]*schema.Schema{with("1", "string_t"), with("2", "integer_t")})
	if err == nil || !strings.Contains(err.Error(), "c.x") {
		t.Errorf("two that differ: %v", err)
	}
}

// A name that no key of the encoder holds is refused.
func TestUnionRefusesLongNames(t *testing.T) {
	for length, ok := range map[int]bool{sizeOfKey - len(`"":"`) - 1: true, sizeOfKey - len(`"":"`): false} {
		enum := &schema.Attribute{Type: "integer_t", Enum: []schema.EnumValue{{Value: "0", Caption: "Unknown"}}}
		name := strings.Repeat("x", length)
		s := &schema.Schema{Version: "1", Classes: map[string]*schema.Class{"c": {Item: schema.Item{Name: "c", Attributes: map[string]*schema.Attribute{
			name: {Name: name, Type: "string_t"}, "activity_id": enum, "status_id": enum,
		}}}}}
		if _, err := newUnion([]*schema.Schema{s}); (err == nil) != ok {
			t.Errorf("a name of %d characters: %v", length, err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"api_activity": "APIActivity", "event_log_actvity": "EventLogActivity", "dns_query": "DNSQuery", "is_mfa": "IsMFA",
		"type_uid": "TypeUID", "flag_ids": "FlagIDs", "d3fend": "D3FEND", "cpu_bits": "CPUBits", "ja4_fingerprint_list": "JA4FingerprintList",
	} {
		if got := camel(name); got != want {
			t.Errorf("camel(%q) = %s, want %s", name, got, want)
		}
	}
	for text, want := range map[string]string{
		"Partially Corrected": "PartiallyCorrected", "SHA-512/224": "SHA512_224", "BACnet/IP": "BACnetIP", "Api": "API", "a": "A", "100% – sure": "100PercentSure", "": "",
	} {
		if got := caption(text); got != want {
			t.Errorf("caption(%q) = %s, want %s", text, got, want)
		}
	}
}
