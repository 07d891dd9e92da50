// SPDX-License-Identifier: Apache-2.0

package filter_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

func parse(t *testing.T, expression string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return f
}

func TestMatches(t *testing.T) {
	h := &profile.Header{Tenant: "acme", Kind: profile.KindOutcome, Decision: "deny", Time: 3, ClassUID: 6003, Ran: true}
	for expression, want := range map[string]bool{
		``:                                   true,
		`tenant == "acme" && time in [1, 3]`: true,
		`!(tenant == "acme")`:                false,
		`tenant.startsWith("g") || !ran`:     false,
		`class_uid == 6003 && ran`:           true,
		`tenant == ""`:                       false,
		`["deny"].exists(d, d == decision)`:  true,
		`false && 1 / sequence == 1`:         false,
		`time >= int(timestamp("2026-01-01T00:00:00Z")) * 1000`: false,
	} {
		if got, err := parse(t, expression).Matches(h); got != want || err != nil {
			t.Errorf("%s: %t, %v", expression, got, err)
		}
	}
	var wrong *filter.Error
	if _, err := parse(t, `1 / sequence == 1`).Matches(h); !errors.As(err, &wrong) {
		t.Errorf("a division by zero: %v", err)
	}
	// An expression that would run for hours is stopped, over columns as over
	// constants.
	long := `[1,2,3,4,5,6,7,8,9,10]`
	for _, last := range []string{"sequence", "0"} {
		f := parse(t, long+`.all(a, `+long+`.all(b, `+long+`.all(c, `+long+`.all(d, `+long+`.all(e, a + b + c + d + e + `+last+` >= 0)))))`)
		if _, err := f.Matches(h); !errors.As(err, &wrong) {
			t.Errorf("100,000 steps: %v", err)
		}
		if where, err := f.SQL(filter.DuckDB); !errors.As(err, &wrong) {
			t.Errorf("100,000 steps: %+v, %v", where, err)
		}
	}
}

// What must hold for the whole to hold is left to the store.
func TestNarrow(t *testing.T) {
	for expression, want := range map[string]store.Query{
		``:                 {},
		`tenant == "acme"`: {Tenant: "acme"},
		`"acme" == tenant && time > 1 && 9 >= time`:             {Tenant: "acme", Since: 2, Until: 10},
		`tenant == "acme" || tenant == "docket"`:                {},
		`tenant == "a" && (kind == "x" || kind == "y")`:         {Tenant: "a", Kinds: []string{"x", "y"}},
		`kind in ["y", "x", "y"] && kind != "z"`:                {Kinds: []string{"x", "y"}},
		`kind in ["x", "y"] && kind in ["y", "z"]`:              {Kinds: []string{"y"}},
		`kind == "x" || ran`:                                    {},
		`!(tenant == "acme")`:                                   {},
		`tenant == ""`:                                          {},
		`tenant == "a" && tenant == "b"`:                        {},
		`tenant == "a" + "b"`:                                   {Tenant: "ab"},
		`metadata_uid == "e" && operation_uid == "o"`:           {Event: "e", Operation: "o"},
		`trace_uid == "t" && sequence == 1`:                     {Trace: "t"},
		`epoch in ["p"] && time == 5`:                           {Epoch: "p", Since: 5, Until: 6},
		`time in [7, 3] && sequence == 4`:                       {Since: 3, Until: 8},
		`time > 3 && time < 9 || time == 20`:                    {Since: 4, Until: 21},
		`time > 3 || tenant == "a"`:                             {},
		`time <= 9223372036854775807`:                           {},
		`time > 9223372036854775807`:                            {},
		`time >= -5`:                                            {},
		`time >= int(timestamp("1970-01-01T00:00:01Z")) * 1000`: {Since: 1000},
		`time == sequence && tenant == method`:                  {},
		`tenant in [] || tenant == "a"`:                         {},
		`ran ? tenant == "a" : tenant == "a"`:                   {},
		`decision == "deny" && kind == "outcome"`:               {Kinds: []string{"outcome"}, Texts: map[string][]string{"decision": {"deny"}}},
		`principal in ["b", "a", ""] && method == service`:      {Texts: map[string][]string{"principal": {"", "a", "b"}}},
		`principal == "a" && principal == "b"`:                  {Texts: map[string][]string{"principal": {}}},
		`method == "m" && (principal == "a" || service == "s")`: {Texts: map[string][]string{"method": {"m"}}},
		`principal != "a"`:                                      {},
	} {
		var got store.Query
		parse(t, expression).Narrow(&got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expression, diff)
		}
	}
	// What the query asks already stays.
	q := store.Query{Tenant: "other", Since: 5, Until: 7, Kinds: []string{"k"}}
	parse(t, `tenant == "a" && time >= 2 && time < 9 && kind == "x"`).Narrow(&q)
	if diff := cmp.Diff(store.Query{Tenant: "other", Since: 5, Until: 7, Kinds: []string{"k"}}, q); diff != "" {
		t.Error(diff)
	}
	texts := map[string][]string{"method": {"m"}}
	q = store.Query{Texts: texts}
	parse(t, `method == "n" && principal == "a"`).Narrow(&q)
	if diff := cmp.Diff(store.Query{Texts: map[string][]string{"method": {"m"}, "principal": {"a"}}}, q); diff != "" || len(texts) != 1 {
		t.Errorf("%s, of %v", diff, texts)
	}
	if q.Until == math.MaxInt64 {
		t.Error("no end became one")
	}
}

func TestSQL(t *testing.T) {
	for expression, want := range map[string]string{
		``:                                `true`,
		`true || ran`:                     `(true OR "ran")`,
		`tenant == "it's"`:                `("tenant" = 'it''s')`,
		`time in []`:                      `false`,
		`1 + 1 == 2`:                      `true`,
		`1 / 0 == sequence`:               `(CAST(NULL AS BIGINT) = "sequence")`,
		`[1, 2].exists(x, x == 2) && ran`: `(true AND "ran")`,
	} {
		got, err := parse(t, expression).SQL(filter.DuckDB)
		if got.Text != want || got.Partial != strings.Contains(want, "NULL") || err != nil {
			t.Errorf("%s: %+v, %v, want %s", expression, got, err, want)
		}
	}
}

// What has no equal is pointed at.
func TestSQLRefuses(t *testing.T) {
	for expression, want := range map[string]string{
		`ran && ["a"].exists(x, x == tenant)`:      `a macro over columns at character 20 has no equal in SQL`,
		`tenant in [method, "x"]`:                  `a list with columns in it at character 11 has no equal in SQL`,
		`tenant.matches(method)`:                   `an expression to match that is not the same for every event at character 16 has no equal in SQL`,
		"ran &&\n  int(tenant) == 3":               `int at character 6 of line 2 has no equal in SQL`,
		`ran || duration(tenant) > duration("1s")`: `a value of type google.protobuf.Duration at character 16 has no equal in SQL`,
	} {
		where, err := parse(t, expression).SQL(filter.DuckDB)
		var wrong *filter.Error
		if !errors.As(err, &wrong) || wrong.Hint() == "" || want != "" && wrong.Reason != want {
			t.Errorf("%s: %+v, %v, want %s", expression, where, err, want)
		}
	}
	deep := strings.Repeat(`(ran ? `, 40) + "ran" + strings.Repeat(` : ran)`, 40)
	if where, err := parse(t, deep).SQL(filter.DuckDB); err != nil || len(where.Text) > 100*40 {
		t.Errorf("a deep expression: %d bytes, %v", len(where.Text), err)
	}
}
