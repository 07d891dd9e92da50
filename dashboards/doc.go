// SPDX-License-Identifier: Apache-2.0

// Package dashboards describes what operators and auditors look at: five Grafana
// dashboards, and what Prometheus scrapes, records and alerts on.
//
// The dashboards are Go code, a file for each, that prints committed JSON, so
// that their layout is computed, their colours are the same everywhere and a
// review sees a query, not four hundred lines around it. Prometheus' files are
// written by hand. The tests hold both to what the product really exports:
// every metric that is named exists in one of our meters, and is on a dashboard;
// every panel says what it shows and in which unit; nothing refers to a data
// source by a fixed uid; every table's SQL is run, on DuckDB and on ClickHouse,
// over a history of which it is known what it shows. Whether Prometheus would
// accept each expression is checked by tools/promlint, with Prometheus' own
// parser; when alerts fire by promtool (make promtool).
//
// After a change:
//
//	go generate ./dashboards
package dashboards

//go:generate go run ./gen
