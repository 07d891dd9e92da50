// SPDX-License-Identifier: Apache-2.0

// Package clickhouse holds the tables and views of Docket's store on ClickHouse,
// for whoever wants to read them or make them by hand. In Go, package
// collector/clickhouse renders and applies them.
package clickhouse

import "embed"

// Files are the migrations, NNN_name.sql, to be applied in the order of their
// numbers. Each is a template of package text/template: its statements end with a
// semicolon at the end of a line, and its fields say whether there is a cluster.
//
//go:embed *.sql
var Files embed.FS
