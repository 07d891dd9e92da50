// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/duration"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A statsReport is what docket stats -o json prints, with the names of the API.
// Members may be added.
type statsReport struct {
	Events    int64         `json:"events"`
	Facets    []statsFacet  `json:"facets"`
	Histogram []statsBucket `json:"histogram"`
	Interval  string        `json:"interval"`
}

type statsFacet struct {
	Name   string       `json:"name"`
	Values []statsValue `json:"values"`
	Others int64        `json:"others"` // events with values that are not listed
}

type statsValue struct {
	Value  string `json:"value"`
	Events int64  `json:"events"`
}

type statsBucket struct {
	Start  time.Time `json:"start"`
	Events int64     `json:"events"`
	Denied int64     `json:"denied"`
}

func reportOf(stats *auditv1.StatsResponse) statsReport {
	r := statsReport{Events: stats.GetEvents(), Facets: []statsFacet{}, Histogram: []statsBucket{}, Interval: stats.GetInterval().AsDuration().String()}
	for _, f := range stats.GetFacets() {
		facet := statsFacet{Name: f.GetName(), Values: []statsValue{}, Others: f.GetOthers()}
		for _, v := range f.GetValues() {
			facet.Values = append(facet.Values, statsValue{v.GetValue(), v.GetEvents()})
		}
		r.Facets = append(r.Facets, facet)
	}
	for _, b := range stats.GetHistogram() {
		r.Histogram = append(r.Histogram, statsBucket{b.GetStart().AsTime(), b.GetEvents(), b.GetDenied()})
	}
	return r
}

func printStats(w io.Writer, format string, stats *auditv1.StatsResponse) error {
	r := reportOf(stats)
	switch format {
	case cli.JSON:
		return cli.PrintJSON(w, r)
	case "", cli.Table:
		return r.chart(w, stats.GetInterval().AsDuration())
	case cli.NDJSON, cli.CSV:
		return r.rows(w, format)
	}
	return cli.Usage(cli.Hint(fmt.Errorf("stats has no output format %q", format), "use one of table, json, ndjson, csv"))
}

// rows prints a row for each count; of time, the column is called time.
func (r *statsReport) rows(w io.Writer, format string) error {
	type row struct {
		Column string `json:"column"`
		Value  string `json:"value"`
		Events int64  `json:"events"`
		Denied *int64 `json:"denied,omitempty"`
	}
	var rows []row
	for _, f := range r.Facets {
		for _, v := range f.Values {
			rows = append(rows, row{f.Name, v.Value, v.Events, nil})
		}
	}
	for _, b := range r.Histogram {
		rows = append(rows, row{"time", b.Start.Format("2006-01-02T15:04:05.000Z07:00"), b.Events, &b.Denied})
	}
	p, err := cli.NewPrinter(w, format, []string{"column", "value", "events", "denied"}, false)
	if err != nil {
		return err
	}
	for _, v := range rows {
		object, err := json.Marshal(v)
		if err != nil {
			return err
		}
		denied := ""
		if v.Denied != nil {
			denied = strconv.FormatInt(*v.Denied, 10)
		}
		if err := p.Row(cli.Row{Cells: []string{v.Column, v.Value, strconv.FormatInt(v.Events, 10), denied}, JSON: object}); err != nil {
			return err
		}
	}
	return p.Close()
}

// chart is the table: counts with bars beside them.
func (r *statsReport) chart(w io.Writer, interval time.Duration) error {
	if _, err := fmt.Fprintln(w, cli.Count(r.Events, "event")); err != nil {
		return err
	}
	for _, f := range r.Facets {
		values := f.Values
		if len(values) == 0 && f.Others == 0 {
			continue // of no event
		}
		if f.Others > 0 {
			values = append(slices.Clone(values), statsValue{"(others)", f.Others})
		}
		var lines [][]string
		for _, v := range values {
			if v.Value == "" {
				v.Value = "(none)"
			}
			lines = append(lines, []string{v.Value, cli.Thousands(v.Events), bar(v.Events, 0, r.Events)})
		}
		if err := section(w, []string{f.Name, "events", ""}, lines); err != nil {
			return err
		}
	}
	most := int64(0)
	for _, b := range r.Histogram {
		most = max(most, b.Events)
	}
	var lines [][]string
	for _, b := range r.Histogram {
		lines = append(lines, []string{b.Start.UTC().Format("2006-01-02 15:04:05.000"), cli.Thousands(b.Events), cli.Thousands(b.Denied), bar(b.Events, b.Denied, most)})
	}
	if len(lines) == 0 {
		return nil
	}
	return section(w, []string{"time (UTC), " + duration.String(interval) + " each", "events", "denied", ""}, lines)
}

func section(w io.Writer, heads []string, lines [][]string) error {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i, line := range append([][]string{heads}, lines...) {
		cells := make([]string, len(line))
		for j, c := range line {
			if cells[j] = cli.Escape(c); i == 0 {
				cells[j] = strings.ToUpper(cells[j])
			}
		}
		lead := ""
		if i == 0 {
			lead = "\n"
		}
		// Its error is that of the next flush.
		fmt.Fprintln(tab, lead+strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return tab.Flush()
}

const barWidth = 40

// bar draws how much of most there is; what was denied of it is dense. Whatever
// there is shows.
func bar(events, denied, most int64) string {
	width := func(n int64) int {
		if n == 0 || most == 0 {
			return 0
		}
		return max(1, int(n*barWidth/most))
	}
	dense := min(width(denied), width(events))
	return strings.Repeat("█", dense) + strings.Repeat("▒", width(events)-dense)
}
