// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	for text, want := range map[string]string{
		"tenant=acme  class=api_activity 30d; class=http_activity forever;": "",
		"tenant=a 1d\n\ntenant=b 2d\n":                                      "",
		"30d":                                                               "is not a rule",
		"tenant=acme 30":                                                    "is not a rule",
		"tenant=acme 0d":                                                    "is not a rule",
		"who=acme 3d":                                                       "neither tenant=NAME nor class=NAME",
		"class=no_such_activity 3d":                                         "no class of OCSF",
	} {
		var r Rules
		err := r.UnmarshalText([]byte(text))
		if want == "" && (err != nil || len(r.List) != 2) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %q, %v", text, r.List, err)
		}
	}
	c, err := Load("", []string{"DOCKET_LAKE_RETENTION=90d"}, []string{"lake.retention_rules=tenant=acme 30d; class=api_activity 5d"})
	if err != nil || c.Lake.Retention != "90d" || !slices.Equal(c.Lake.RetentionRules.List, []string{"tenant=acme 30d", "class=api_activity 5d"}) {
		t.Errorf("lake %+v, %v", c.Lake, err)
	}
	if _, err := Load("", nil, []string{"lake.retention=90"}); err == nil {
		t.Error("no unit, and no error")
	}
}
