// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/schemas/jsonschema"
)

// fileOnly are keys that only the file can give: those that chainfile alone reads,
// and lists of tables.
var fileOnly = []string{"auth.certificates", "audit.methods", "gateway.max_request_bytes", "gateway.attributes", "gateway.secret_option"}

// The published schema knows the keys that the commands know, and no others.
func TestSchemaHasTheKeys(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(jsonschema.Config, &schema); err != nil {
		t.Fatal(err)
	}
	var published []string
	for table, s := range schema.Properties {
		for key := range s.Properties {
			if !slices.Contains([]string{"openshell", "capture", "redact", "tokens"}, table) && !slices.Contains(fileOnly, table+"."+key) {
				published = append(published, table+"."+key)
			}
		}
	}
	slices.Sort(published)
	if d := cmp.Diff(Keys(), published); d != "" {
		t.Errorf("schemas/jsonschema/docket.schema.json lacks (-) or has too many (+) keys:\n%s", d)
	}
}
