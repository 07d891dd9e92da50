// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow/go/v17/arrow"

	clickquery "github.com/docket-audit/docket/collector/clickhouse/query"
	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
)

// ClickHouse returns what answers queries over a store on ClickHouse, for all doors
// together: the limits are on what they take of the server.
func ClickHouse(s clickquery.Store, limits sql.Limits) *ClickHouseSQL {
	return &ClickHouseSQL{clickquery.New(s, limits)}
}

// ClickHouseSQL is [SQL] and [Arrow] over a store on ClickHouse.
type ClickHouseSQL struct{ engine *clickquery.Engine }

var _ flight.Engine = (*ClickHouseSQL)(nil)

// Rows answers a question as [SQL] does.
func (c *ClickHouseSQL) Rows(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
	err := c.engine.Rows(ctx, clickquery.Scope{View: q.View, Filter: q.Filter, At: q.At}, q.SQL, columns, rows)
	if early := new(clickquery.NoCommitError); errors.As(err, &early) {
		return serve.Invalid("at", err)
	}
	return serve.QueryError(err)
}

// Describe implements [flight.Engine].
func (c *ClickHouseSQL) Describe(ctx context.Context, q flight.Question) (sql.Description, error) {
	return c.engine.Describe(ctx, clickquery.Scope{View: q.View}, q.SQL)
}

// Query implements [flight.Engine].
func (c *ClickHouseSQL) Query(ctx context.Context, q flight.Question, schema func(*arrow.Schema) error, batch func(arrow.Record) error) error {
	return c.engine.Arrow(ctx, clickquery.Scope{View: q.View}, sql.Statement{Text: q.SQL, Parameters: q.Parameters}, schema, batch)
}

// Tables implements [flight.Engine].
func (c *ClickHouseSQL) Tables(context.Context) ([]sql.Table, error) { return c.engine.Tables(), nil }
