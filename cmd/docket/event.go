// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/columnar"
	"github.com/docket-audit/docket/cmd/internal/shorthand"
	"github.com/docket-audit/docket/internal/profile"
)

// eventColumns are those of an event in a table or in CSV, wideColumns those of
// the wide table.
var (
	eventColumns = []string{"time", "tenant", "kind", "decision", "operation", "sentence"}
	wideColumns  = []string{"time", "tenant", "kind", "decision", "service", "method", "principal", "source", "interceptor", "binding", "phase", "duration_ms", "operation", "event", "sentence"}
)

// eventFormats are those that events have beside what all rows have.
var eventFormats = map[string]func(io.Writer) (cli.RowWriter, error){
	cli.Parquet: columnar.Events,
	"shorthand": cli.Lines(shorthand.Line), // as OpenShell prints
}

// eventOutputFlag adds -o to a verb that prints events.
func eventOutputFlag(f *pflag.FlagSet, format *string) {
	cli.OutputFlag(f, format, slices.Concat([]string{cli.Wide}, slices.Sorted(maps.Keys(eventFormats)))...)
}

// eventPrinter returns a printer of events.
func eventPrinter(c *cobra.Command, format string, live bool) (*cli.Printer, error) {
	return cli.Print(c.OutOrStdout(), cli.Options{Format: format, Columns: eventColumns, Wide: wideColumns, Live: live, Formats: eventFormats})
}

// csvTime is how programs are told a time of milliseconds: RFC 3339.
func csvTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// eventRows make rows of events. Those that are not of today have a date.
type eventRows struct {
	now   func() time.Time
	dated bool // a row has a date: the table has room for it from there on
}

func newEventRows() *eventRows { return &eventRows{now: time.Now} }

// clock is when an event happened, for people in this place: with the date where it
// is of another day.
func (r *eventRows) clock(at time.Time, layout string) string {
	year, month, day := at.Date()
	if y, m, d := r.now().Date(); y == year && m == month && d == day {
		return at.Format(layout)
	}
	return at.Format(time.DateOnly + " " + layout)
}

// row turns an event's bytes into a row. Widths are fixed, so that a table that is
// shown while it grows stays one.
func (r *eventRows) row(raw []byte) (cli.Row, error) {
	h, err := profile.Parse(raw)
	if err != nil {
		return cli.Row{}, fmt.Errorf("read event: %w", err)
	}
	sentence := profile.Sentence(h)
	at := time.UnixMilli(h.Time)
	table := r.clock(at, "15:04:05.000")
	if r.dated = r.dated || len(table) > 12; r.dated {
		table = pad(table, 23)
	}
	return cli.Row{
		Wide: []string{
			csvTime(h.Time), pad(h.Tenant, 8), pad(h.Kind, 10), pad(h.Decision, 8), h.Service, h.Method, h.Principal, h.Source,
			h.Interceptor, h.Binding, h.Phase, strconv.FormatInt(h.DurationMS, 10), pad(h.OperationUID, 36), h.MetadataUID, sentence,
		},
		Cells:  []string{table, pad(h.Tenant, 8), pad(h.Kind, 10), pad(h.Decision, 8), pad(h.OperationUID, 36), sentence},
		CSV:    []string{csvTime(h.Time), h.Tenant, h.Kind, h.Decision, h.OperationUID, sentence},
		JSON:   raw,
		Short:  r.clock(at, time.TimeOnly) + " " + sentence,
		Colour: eventColour(h),
	}, nil
}

func pad(s string, width int) string { return fmt.Sprintf("%-*s", width, s) }

func eventColour(h profile.Header) cli.Colour {
	switch {
	case h.Kind == profile.KindFailure, h.Kind == profile.KindFinding:
		return cli.Yellow
	case h.Decision == profile.DecisionDeny:
		return cli.Red
	case h.Decision == profile.DecisionModify:
		return cli.Cyan
	}
	return 0
}
