// SPDX-License-Identifier: Apache-2.0

package filter_test

import (
	"slices"
	"testing"

	"github.com/docket-audit/docket/collector/filter"
)

func TestColumnsAndValues(t *testing.T) {
	for _, c := range []struct {
		expression string
		columns    []string
		tenants    []string
		bounded    bool
	}{
		{"", nil, nil, false},
		{`true`, nil, nil, false},
		{`tenant == "acme" && decision == "deny"`, []string{"decision", "tenant"}, []string{"acme"}, true},
		{`tenant in ["b", "a"] && !(tenant != "a" && method == service)`, []string{"method", "service", "tenant"}, []string{"a", "b"}, true},
		{`tenant == "a" || method == "m"`, []string{"method", "tenant"}, nil, false},
		{`tenant == "a" && tenant == "b"`, []string{"tenant"}, nil, true},
		{`["a", "b"].exists(x, x == tenant)`, []string{"tenant"}, nil, false},
		{`ran ? time > 3 : size(message) > 3`, []string{"message", "ran", "time"}, nil, false},
	} {
		f, err := filter.Parse(c.expression)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Columns(); !slices.Equal(got, c.columns) {
			t.Errorf("%s: columns %q, want %q", c.expression, got, c.columns)
		}
		if got, bounded := f.Values("tenant"); !slices.Equal(got, c.tenants) || bounded != c.bounded {
			t.Errorf("%s: tenants %q, %v, want %q, %v", c.expression, got, bounded, c.tenants, c.bounded)
		}
	}
}
