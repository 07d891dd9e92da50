// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql/schema_ref"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// What there is has the names by which a query may call it, too: every view is
// memory.main.NAME. It is the same for all callers; what is in it is not.
const (
	catalogName = "memory"
	schemaName  = "main"
	tableType   = "VIEW"
)

// at gives the command itself as the ticket: what it asks for is small, and made
// when it is got.
func at(desc *flight.FlightDescriptor, schema *arrow.Schema) (*flight.FlightInfo, error) {
	return info(desc, schema, desc.GetCmd()), nil
}

// table returns an answer of rows, which is whole when it begins.
func table(schema *arrow.Schema, fill func(*array.RecordBuilder)) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	fill(b)
	chunks := make(chan flight.StreamChunk, 1)
	chunks <- flight.StreamChunk{Data: b.NewRecord()}
	close(chunks)
	return schema, chunks, nil
}

func text(b *array.RecordBuilder, column int, values ...string) {
	for _, v := range values {
		b.Field(column).(*array.StringBuilder).Append(v)
	}
}

// GetFlightInfoCatalogs and those below say where to get what there is.
func (*server) GetFlightInfoCatalogs(_ context.Context, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.Catalogs)
}

// DoGetCatalogs lists the one catalog.
func (*server) DoGetCatalogs(context.Context) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.Catalogs, func(b *array.RecordBuilder) { text(b, 0, catalogName) })
}

func (*server) GetFlightInfoSchemas(_ context.Context, _ flightsql.GetDBSchemas, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.DBSchemas)
}

// matches reports whether a request means the one schema.
func matches(catalog, schema *string) bool {
	return (catalog == nil || *catalog == catalogName) && (schema == nil || like(*schema, schemaName))
}

// DoGetDBSchemas lists the one schema.
func (*server) DoGetDBSchemas(_ context.Context, cmd flightsql.GetDBSchemas) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.DBSchemas, func(b *array.RecordBuilder) {
		if matches(cmd.GetCatalog(), cmd.GetDBSchemaFilterPattern()) {
			text(b, 0, catalogName)
			text(b, 1, schemaName)
		}
	})
}

func tablesSchema(cmd flightsql.GetTables) *arrow.Schema {
	if cmd.GetIncludeSchema() {
		return schema_ref.TablesWithIncludedSchema
	}
	return schema_ref.Tables
}

func (*server) GetFlightInfoTables(_ context.Context, cmd flightsql.GetTables, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, tablesSchema(cmd))
}

// DoGetTables lists the views.
func (s *server) DoGetTables(ctx context.Context, cmd flightsql.GetTables) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	views, err := s.engine.Tables(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := matches(cmd.GetCatalog(), cmd.GetDBSchemaFilterPattern()) &&
		(len(cmd.GetTableTypes()) == 0 || slices.Contains(cmd.GetTableTypes(), tableType))
	return table(tablesSchema(cmd), func(b *array.RecordBuilder) {
		for _, v := range views {
			if pattern := cmd.GetTableNameFilterPattern(); !all || pattern != nil && !like(*pattern, v.Name) {
				continue
			}
			text(b, 0, catalogName)
			text(b, 1, schemaName)
			text(b, 2, v.Name)
			text(b, 3, tableType)
			if cmd.GetIncludeSchema() {
				b.Field(4).(*array.BinaryBuilder).Append(flight.SerializeSchema(v.Columns, memory.DefaultAllocator))
			}
		}
	})
}

// like reports whether a name, in ASCII, is what a pattern of SQL means: % is any
// text, _ any letter, \ takes the meaning of what is behind it. It looks at each
// letter of name at most once for each % and letter of pattern.
func like(pattern, name string) bool {
	star, from := -1, 0 // behind the last %, and where it has to try next
	p, n := 0, 0
	for n < len(name) {
		width := 1
		escaped := p+1 < len(pattern) && pattern[p] == '\\'
		if escaped {
			width = 2
		}
		switch {
		case p < len(pattern) && !escaped && pattern[p] == '%':
			p++
			star, from = p, n
		case p < len(pattern) && (!escaped && pattern[p] == '_' || pattern[p+width-1] == name[n]):
			p, n = p+width, n+1
		case star >= 0:
			from++
			p, n = star, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '%' {
		p++
	}
	return p == len(pattern)
}

func (*server) GetFlightInfoTableTypes(_ context.Context, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.TableTypes)
}

// DoGetTableTypes lists the one type.
func (*server) DoGetTableTypes(context.Context) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.TableTypes, func(b *array.RecordBuilder) { text(b, 0, tableType) })
}

// Views have no keys.

func (*server) GetFlightInfoPrimaryKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.PrimaryKeys)
}

func (*server) DoGetPrimaryKeys(context.Context, flightsql.TableRef) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.PrimaryKeys, func(*array.RecordBuilder) {})
}

func (*server) GetFlightInfoExportedKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.ExportedKeys)
}

func (*server) DoGetExportedKeys(context.Context, flightsql.TableRef) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.ExportedKeys, func(*array.RecordBuilder) {})
}

func (*server) GetFlightInfoImportedKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.ImportedKeys)
}

func (*server) DoGetImportedKeys(context.Context, flightsql.TableRef) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.ImportedKeys, func(*array.RecordBuilder) {})
}

func (*server) GetFlightInfoCrossReference(_ context.Context, _ flightsql.CrossTableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return at(desc, schema_ref.CrossReference)
}

func (*server) DoGetCrossReference(context.Context, flightsql.CrossTableRef) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return table(schema_ref.CrossReference, func(*array.RecordBuilder) {})
}
