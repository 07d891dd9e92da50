// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/docket-audit/docket/collector/sql"
)

func TestCatalog(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	check := func(what, want string, info *flight.FlightInfo, err error) {
		t.Helper()
		if s, err := got(ctx, c, info, err); err != nil || !strings.Contains(s, want) {
			t.Errorf("%s: %.300q, %v, want %q", what, s, err, want)
		}
	}
	text := func(s string) *string { return &s }
	info, err := c.GetCatalogs(ctx)
	check("catalogs", "catalog_name;\nmemory;\n", info, err)
	info, err = c.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{})
	check("schemas", "\nmemory;main;\n", info, err)
	info, err = c.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{DbSchemaFilterPattern: text("other%")})
	check("no schemas", "catalog_name;db_schema_name;\n", info, err)
	info, err = c.GetTableTypes(ctx)
	check("table types", "table_type;\nVIEW;\n", info, err)
	info, err = c.GetTables(ctx, &flightsql.GetTablesOpts{TableNameFilterPattern: text("e%s")})
	check("tables", "table_type;\nmemory;main;evaluations;VIEW;\nmemory;main;events;VIEW;\n", info, err)
	info, err = c.GetTables(ctx, &flightsql.GetTablesOpts{})
	check("all tables", "memory;main;api_activity;VIEW;\n", info, err)
	for what, opts := range map[string]*flightsql.GetTablesOpts{
		"another type": {TableTypes: []string{"TABLE"}}, "another catalog": {Catalog: text("x")}, "no catalog": {Catalog: text("")}, "another schema": {DbSchemaFilterPattern: text("mai")},
	} {
		info, err = c.GetTables(ctx, opts)
		if s, err := got(ctx, c, info, err); err != nil || strings.Count(s, "\n") != 1 {
			t.Errorf("tables of %s: %q, %v", what, s, err)
		}
	}
	info, err = c.GetSqlInfo(ctx, []flightsql.SqlInfo{flightsql.SqlInfoFlightSqlServerName, flightsql.SqlInfoFlightSqlServerReadOnly})
	check("info", "docket", info, err)
	info, err = c.GetSqlInfo(ctx, nil)
	check("all info", "test", info, err)
	info, err = c.GetXdbcTypeInfo(ctx, nil)
	check("types", "\nBOOLEAN;-7;", info, err)
	number := int32(12)
	info, err = c.GetXdbcTypeInfo(ctx, &number)
	check("types of a number", "\nVARCHAR;12;", info, err)
	ref := flightsql.TableRef{Table: "events"}
	info, err = c.GetPrimaryKeys(ctx, ref)
	check("keys", "key_name;\n", info, err)
	info, err = c.GetImportedKeys(ctx, ref)
	check("keys", "delete_rule;\n", info, err)
	info, err = c.GetExportedKeys(ctx, ref)
	check("keys", "delete_rule;\n", info, err)
	info, err = c.GetCrossReference(ctx, ref, ref)
	check("keys", "delete_rule;\n", info, err)
	// With their columns, which are those that a query has.
	info, err = c.GetTables(ctx, &flightsql.GetTablesOpts{TableNameFilterPattern: text("operations"), IncludeSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatal(r.Err())
	}
	columns, err := flight.DeserializeSchema(r.Record().Column(4).(*array.Binary).Value(0), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	info, err = c.Execute(ctx, "FROM operations")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := flight.DeserializeSchema(info.Schema, memory.DefaultAllocator); err != nil || !s.Equal(columns) {
		t.Errorf("operations is said to have %v, and has %v (%v)", columns, s, err)
	}
}

func TestLike(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"%", "", true},
		{"%", "abc", true},
		{"a%", "abc", true},
		{"%c", "abc", true},
		{"%b", "abc", false},
		{"a_c", "abc", true},
		{"a_c", "ac", false},
		{`a\_c`, "a_c", true},
		{`a\_c`, "abc", false},
		{`\%`, "%", true},
		{`\%`, "a", false},
		{`a\`, `a\`, true},
		{"%a%b%", "xxaxxbxx", true},
		{"%a%b", "abab", true},
		{"%ab%ab", "ab", false},
		{"abc", "ABC", false},
		{strings.Repeat("%a", 50) + "%b", strings.Repeat("a", 5000), false},
	} {
		if got := like(test.pattern, test.name); got != test.want {
			t.Errorf("%q like %q: %v", test.name, test.pattern, got)
		}
	}
}
