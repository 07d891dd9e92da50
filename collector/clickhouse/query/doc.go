// SPDX-License-Identifier: Apache-2.0

// Package query answers SQL over a store on ClickHouse, for callers of whom each may
// see the events of some tenants.
//
//	e := query.New(store, sql.Limits{})
//	err := e.Rows(ctx, query.Scope{View: view}, "SELECT decision, count(*) FROM events GROUP BY ALL", columns, rows)
//	err = e.Arrow(ctx, query.Scope{View: view}, sql.Statement{Text: text}, schema, batch)
//
// The views are those of package sql, with the same columns: events, operations,
// evaluations, and one for each class of OCSF. SHOW TABLES lists them, DESCRIBE the
// columns of one. The language is ClickHouse's.
//
// # What confines a query
//
// The server holds the events of all tenants in one table. What a query may see of it
// is written in front of the query, as common table expressions, and nothing else of
// the server can be named:
//
//   - The text is cut into tokens, and put together again without comments. What could
//     change how the server reads on is refused: SETTINGS, FORMAT, INTO, parameters.
//   - The server parses it (EXPLAIN AST). Each node of the tree must be of a kind that
//     is known to be harmless, each table one of the views or named by the query itself,
//     each function one of functions.txt, which has none that reads anything.
//     A name that the query gives to something must not be that of a table of the
//     database: what it names in one place it does not name in another.
//   - The server resolves the names in the whole of it (EXPLAIN QUERY TREE). Each table
//     must then be the one that the views are over, each table function one that
//     computes.
//   - The rows of others are dropped in PREWHERE, which is evaluated as they are read.
//     A condition in WHERE would not do: a server is free to evaluate those of the query
//     first, and then an error, such as of a text that is no number, tells of rows that
//     are never shown. Columns with dictionaries, which many tenants share, are given
//     out as plain ones.
//   - The query runs with readonly = 1. That is not a wall by itself: a SETTINGS within
//     a subquery passes it.
//
// A view of the server, or the setting additional_table_filters, would do for none of it:
// merge() reads the tables beneath.
package query
