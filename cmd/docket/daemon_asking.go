// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"

	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
)

// asking is how SQL is answered over the store that there is.
type asking struct {
	rows    func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error
	arrow   flight.Engine
	dialect *filter.Dialect
}

func (d *daemon) asking() asking {
	if s := d.record.ClickHouse; s != nil {
		engine := reading.ClickHouse(s, sql.Limits{})
		return asking{engine.Rows, engine, filter.ClickHouse}
	}
	processes := reading.Processes(sql.Limits{})
	return asking{reading.SQL(d.record.Lake, processes), reading.Arrow(d.record.Lake, processes), filter.DuckDB}
}
