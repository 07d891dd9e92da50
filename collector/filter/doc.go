// SPDX-License-Identifier: Apache-2.0

// Package filter selects events by CEL expressions over the columns of their
// headers, such as
//
//	tenant == "acme" && kind == "outcome" && decision == "deny"
//
// One expression is used in three ways that agree with each other:
//
//	f, err := filter.Parse(text)
//	f.Narrow(&query)                  // what a store can pass over by itself
//	ok, err := f.Matches(&header)     // event by event
//	where, err := f.SQL(filter.DuckDB) // as a condition for stores that speak SQL
//
// What has no equal in SQL, such as a comprehension over columns, SQL refuses
// with an [Error] that points at it; Matches knows all of CEL. docs/filters.md
// lists what both know, and a test compares them, expression by expression and
// row by row.
//
// An expression can fail for an event, as 1 / sequence does where that is 0.
// Matches then returns an error, and the condition of SQL is NULL: the logic of
// CEL, in which false && error is false, is that of SQL with NULL for error.
package filter
