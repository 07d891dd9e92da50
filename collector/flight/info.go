// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql/schema_ref"

	pb "github.com/apache/arrow/go/v17/arrow/flight/gen/flight"
)

// registerInfo says what GetSqlInfo answers.
func (s *server) registerInfo(version string) error {
	for _, i := range []struct {
		id flightsql.SqlInfo
		is any
	}{
		{flightsql.SqlInfoFlightSqlServerName, "docket"},
		{flightsql.SqlInfoFlightSqlServerVersion, version},
		{flightsql.SqlInfoFlightSqlServerArrowVersion, arrow.PkgVersion},
		{flightsql.SqlInfoFlightSqlServerReadOnly, true},
		{flightsql.SqlInfoFlightSqlServerSql, true},
		{flightsql.SqlInfoFlightSqlServerSubstrait, false},
		{flightsql.SqlInfoFlightSqlServerTransaction, int32(flightsql.SqlTransactionNone)},
		{flightsql.SqlInfoFlightSqlServerCancel, true},
		{flightsql.SqlInfoFlightSqlServerBulkIngestion, false},
		{flightsql.SqlInfoFlightSqlServerIngestTransactionsSupported, false},
		{flightsql.SqlInfoFlightSqlServerStatementTimeout, int32(0)},
		{flightsql.SqlInfoFlightSqlServerTransactionTimeout, int32(0)},
		{flightsql.SqlInfoDDLCatalog, false},
		{flightsql.SqlInfoDDLSchema, false},
		{flightsql.SqlInfoDDLTable, false},
		{flightsql.SqlInfoIdentifierCase, int64(flightsql.SqlCaseSensitivityCaseInsensitive)},
		{flightsql.SqlInfoQuotedIdentifierCase, int64(flightsql.SqlCaseSensitivityCaseInsensitive)},
		{flightsql.SqlInfoIdentifierQuoteChar, `"`},
		{flightsql.SqlInfoSearchStringEscape, `\`},
		{flightsql.SqlInfoAllTablesAreASelectable, true},
		{flightsql.SqlInfoSupportsColumnAliasing, true},
		{flightsql.SqlInfoNullPlusNullIsNull, true},
		{flightsql.SqlInfoSupportsTableCorrelationNames, true},
		{flightsql.SqlInfoSupportsExpressionsInOrderBy, true},
		{flightsql.SqlInfoSupportsOrderByUnrelated, true},
		{flightsql.SqlInfoSupportsLikeEscapeClause, true},
		{flightsql.SqlInfoCorrelatedSubqueriesSupported, true},
		{flightsql.SqlInfoTransactionsSupported, false},
		{flightsql.SqlInfoSelectForUpdateSupported, false},
		{flightsql.SqlInfoStoredProceduresSupported, false},
		{flightsql.SqlInfoSchemaTerm, "schema"},
		{flightsql.SqlInfoCatalogTerm, "catalog"},
		{flightsql.SqlInfoCatalogAtStart, true},
	} {
		if err := s.RegisterSqlInfo(i.id, i.is); err != nil {
			return err
		}
	}
	return nil
}

// DoGetSqlInfo answers as BaseServer does, but leaves nothing running behind for a
// caller who has gone.
func (s *server) DoGetSqlInfo(ctx context.Context, cmd flightsql.GetSqlInfo) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	schema, from, err := s.BaseServer.DoGetSqlInfo(ctx, cmd)
	if err != nil {
		return nil, nil, err
	}
	var all []flight.StreamChunk
	for c := range from {
		all = append(all, c)
	}
	chunks := make(chan flight.StreamChunk, len(all))
	for _, c := range all {
		chunks <- c
	}
	close(chunks)
	return schema, chunks, nil
}

// types are those that a client of another kind of driver knows by a number, in
// the order of these and of the names.
// Texts stand between quotes, and what follows a type's name in brackets is named.
var types = []struct {
	name   string
	is     pb.XdbcDataType
	size   int32  // digits, letters or bytes; 0 is without a limit
	prefix string // of a literal
	params []string
	radix  int32 // of numbers
}{
	{"BOOLEAN", pb.XdbcDataType_XDBC_BIT, 1, "", nil, 0},
	{"TINYINT", pb.XdbcDataType_XDBC_TINYINT, 3, "", nil, 10},
	{"BIGINT", pb.XdbcDataType_XDBC_BIGINT, 19, "", nil, 10},
	{"BLOB", pb.XdbcDataType_XDBC_VARBINARY, 0, "'", nil, 0},
	{"DECIMAL", pb.XdbcDataType_XDBC_DECIMAL, 38, "", []string{"precision", "scale"}, 10},
	{"HUGEINT", pb.XdbcDataType_XDBC_DECIMAL, 38, "", nil, 10},
	{"INTEGER", pb.XdbcDataType_XDBC_INTEGER, 10, "", nil, 10},
	{"SMALLINT", pb.XdbcDataType_XDBC_SMALLINT, 5, "", nil, 10},
	{"FLOAT", pb.XdbcDataType_XDBC_REAL, 24, "", nil, 2},
	{"DOUBLE", pb.XdbcDataType_XDBC_DOUBLE, 53, "", nil, 2},
	{"INTERVAL", pb.XdbcDataType_XDBC_INTERVAL, 0, "INTERVAL '", nil, 0},
	{"BIT", pb.XdbcDataType_XDBC_VARCHAR, 0, "'", nil, 0},
	{"UUID", pb.XdbcDataType_XDBC_VARCHAR, 36, "'", nil, 0},
	{"VARCHAR", pb.XdbcDataType_XDBC_VARCHAR, 0, "'", nil, 0},
	{"DATE", pb.XdbcDataType_XDBC_DATE, 10, "DATE '", nil, 0},
	{"TIME", pb.XdbcDataType_XDBC_TIME, 15, "TIME '", nil, 0},
	{"TIMESTAMP", pb.XdbcDataType_XDBC_TIMESTAMP, 26, "TIMESTAMP '", nil, 0},
	{"TIMESTAMP WITH TIME ZONE", pb.XdbcDataType_XDBC_TIMESTAMP, 29, "TIMESTAMPTZ '", nil, 0},
}

func (*server) GetFlightInfoXdbcTypeInfo(_ context.Context, _ flightsql.GetXdbcTypeInfo, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.XdbcTypeInfo)
}

// DoGetXdbcTypeInfo lists types.
func (*server) DoGetXdbcTypeInfo(_ context.Context, cmd flightsql.GetXdbcTypeInfo) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.XdbcTypeInfo, func(b *array.RecordBuilder) {
		number := func(column int, v int32) { b.Field(column).(*array.Int32Builder).Append(v) }
		yes := func(column int, v bool) { b.Field(column).(*array.BooleanBuilder).Append(v) }
		for _, t := range types {
			if of := cmd.GetDataType(); of != nil && *of != int32(t.is) {
				continue
			}
			text(b, 0, t.name)
			number(1, int32(t.is))
			if t.size > 0 {
				number(2, t.size)
			}
			if t.prefix != "" {
				text(b, 3, t.prefix)
				text(b, 4, "'")
			}
			if t.params != nil {
				list := b.Field(5).(*array.ListBuilder)
				list.Append(true)
				list.ValueBuilder().(*array.StringBuilder).AppendValues(t.params, nil)
			}
			number(6, int32(pb.Nullable_NULLABILITY_NULLABLE))
			yes(7, t.is == pb.XdbcDataType_XDBC_VARCHAR)
			number(8, int32(pb.Searchable_SEARCHABLE_FULL))
			if t.radix > 0 {
				yes(9, false)
			}
			yes(10, t.name == "DECIMAL")
			yes(11, false)
			text(b, 12, t.name)
			if t.name == "DECIMAL" {
				number(13, 0)
				number(14, 38)
			}
			number(15, int32(t.is))
			if t.radix > 0 {
				number(17, t.radix)
			}
			for _, column := range b.Fields() { // what was left out
				for column.Len() < b.Field(0).Len() {
					column.AppendNull()
				}
			}
		}
	})
}
