// SPDX-License-Identifier: Apache-2.0

package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/filter"
)

// What is wrong with a filter is said in words of ours.
func TestFilterErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`tenant ==`:                       "it ends too early",
		`tenant == "a" AND 1`:             `"AND" at character 15 was not expected there`,
		`tenant == "a`:                    "",
		`tenant == 'a' &&& 1`:             "",
		`(tenant`:                         "it ends too early",
		`tenantt == "x"`:                  `there is no column or function "tenantt"`,
		`tenant == 3`:                     "== at character 8 does not go with (string, int)",
		`startsWith(tenant)`:              "startsWith at character 11 does not go with (string)",
		"tenant == 'a' &&\n  tenant == 3": "== at character 10 of line 2 does not go with (string, int)",
		`tenant`:                          "the expression is a string, not true or false",
	} {
		_, err := filter.Parse(expression)
		var wrong *filter.Error
		if !errors.As(err, &wrong) || wrong.Hint() == "" {
			t.Errorf("%s: %v is no Error with a hint", expression, err)
			continue
		}
		if want != "" && wrong.Reason != want {
			t.Errorf("%s: %s, want %s", expression, wrong.Reason, want)
		}
		if strings.Contains(wrong.Reason, "expecting") || strings.Contains(wrong.Reason, "Syntax error") || strings.Contains(wrong.Reason, "container") || strings.Contains(wrong.Reason, "\n") {
			t.Errorf("%s: %s", expression, wrong.Reason)
		}
	}
}
