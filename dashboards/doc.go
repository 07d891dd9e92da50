// SPDX-License-Identifier: Apache-2.0

// Package dashboards describes what operators look at: a Grafana dashboard,
// and what Prometheus scrapes, records and alerts on.
//
// The dashboard is Go code (overview.go) that prints committed JSON, so that
// its layout is computed, its colours are the same everywhere and a review
// sees a query, not four hundred lines around it. Prometheus' files are
// written by hand. The tests hold both to what the product really exports:
// every metric that is named exists in one of our meters, every panel says
// what it shows and in which unit, nothing refers to a data source by a fixed
// uid. Whether Prometheus would accept each expression is checked by
// tools/promlint, with Prometheus' own parser.
//
// After a change:
//
//	go generate ./dashboards
package dashboards

//go:generate go run ./gen
