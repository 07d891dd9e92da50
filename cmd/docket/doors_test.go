// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/schemas/openapi"
)

// The configuration knows the words of package authz, which docket-gateway may not
// link.
func TestCapabilityWords(t *testing.T) {
	if d := cmp.Diff(capabilityNames(), config.Capabilities); d != "" {
		t.Error(d)
	}
}

// docs/authorization.md has each capability and each reason, and no others.
func TestAuthorizationPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/authorization.md")
	if err != nil {
		t.Fatal(err)
	}
	column := func(head string) (first []string) {
		_, table, ok := strings.Cut(string(b), head)
		if !ok {
			t.Fatalf("no table %q", head)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
			first = append(first, m[1])
		}
		return first
	}
	if d := cmp.Diff(capabilityNames(), column("| `cap` |")); d != "" {
		t.Error(d)
	}
	reasons := []string{
		authz.ReasonMissing, authz.ReasonScheme, authz.ReasonTooLarge, authz.ReasonMalformed, authz.ReasonAlgorithm, authz.ReasonUnknownKey,
		authz.ReasonSignature, authz.ReasonExpired, authz.ReasonNotYet, authz.ReasonAudience, authz.ReasonIssuer, authz.ReasonClaims,
		authz.ReasonNoCertificates, authz.ReasonCertificate, authz.ReasonCertExpired, authz.ReasonCertUnknown,
	}
	if d := cmp.Diff(reasons, column("| reason |")); d != "" {
		t.Error(d)
	}
}

// What admins may have done is in the OpenAPI document.
func TestActionsAreInTheDocument(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openapi.Document, &doc); err != nil {
		t.Fatal(err)
	}
	for name := range (&daemon{record: new(recordpath.Path)}).actions() {
		if doc.Paths["/v1/"+name]["post"] == nil {
			t.Errorf("it has no POST /v1/%s", name)
		}
	}
}
