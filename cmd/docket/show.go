// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

var showColumns = []string{"at", "kind", "phase", "binding", "decision", "sentence"}

func showCommand(s *settings) *cobra.Command {
	var format string
	var filter *eventFilter
	c := &cobra.Command{
		Use:   "show [OPERATION]",
		Short: "Print the timeline of one operation",
		Long: `Print everything that happened to one operation, in order: what each binding was
asked, shown and said, what became of the operation, and what was found about
it. What a binding was shown is cut when it is long; -o json has every byte. The
operation's uid is in the trailer docket-operation-uid of every governed answer, in the
column operation_uid of the events, and in the output of tail. Without a uid it
is the newest operation whose outcome the flags select.

` + filterHelp,
		Example: `  docket show 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b
  docket show --decision deny --tenant acme       the newest that was denied
  docket show 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			expression, done, err := filter.asked(c, nil)
			if err != nil || done {
				return err
			}
			if len(args) > 0 && expression != "" {
				return cli.Usagef("give an operation or flags that select one, not both")
			}
			client, err := s.open(c)
			if err != nil {
				return err
			}
			defer client.Close()
			var operation string
			if len(args) > 0 {
				operation = args[0]
			} else if operation, err = newestOperation(c.Context(), client, expression, filter.tenants()); err != nil {
				return err
			}
			timeline, err := timelineOf(c.Context(), client, operation)
			if err != nil {
				return err
			}
			p, err := cli.Print(c.OutOrStdout(), cli.Options{Format: format, Columns: showColumns, Formats: eventFormats})
			if err != nil {
				return err
			}
			for _, row := range showRows(timeline) {
				if err := p.Row(row); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	filter = newEventFilter(c.Flags())
	cli.OutputFlag(c.Flags(), &format, slices.Sorted(maps.Keys(eventFormats))...)
	return c
}

// A moment is one event of an operation.
type moment struct {
	header profile.Header
	raw    []byte
}

// timelineOf returns the events of an operation in the order in which they
// happened.
func timelineOf(ctx context.Context, client *reading.Client, operation string) ([]moment, error) {
	found, err := client.Audit.GetOperation(ctx, &auditv1.GetOperationRequest{Uid: operation})
	if status.Code(err) == codes.NotFound {
		return nil, cli.Hint(fmt.Errorf("no event of operation %s", operation), "%s", noOperation(ctx, client, operation))
	}
	if err != nil {
		return nil, client.Answered(err)
	}
	var timeline []moment
	for _, m := range found.GetMoments() {
		h, err := profile.Parse(m.GetEvent())
		if err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		timeline = append(timeline, moment{h, m.GetEvent()})
	}
	return timeline, nil
}

// noOperation says what to do with a uid that is of no operation.
func noOperation(ctx context.Context, client *reading.Client, uid string) string {
	found, err := client.Audit.GetEvent(ctx, &auditv1.GetEventRequest{Uid: uid})
	if err == nil {
		if h, err := profile.Parse(found.GetEvent()); err == nil && h.OperationUID != "" {
			return "that is the uid of one of its events: `docket show " + h.OperationUID + "`"
		}
	}
	return "`docket tail` prints the uids of operations; events that left by retention or erasure are not shown"
}

// newestOperation returns the uid of the newest operation whose outcome the
// filter selects.
func newestOperation(ctx context.Context, client *reading.Client, filter string, tenants []string) (uid string, err error) {
	found, err := client.Audit.ListOperations(ctx, &auditv1.ListOperationsRequest{PageSize: 1, Filter: filter, Tenants: tenants})
	if err != nil {
		return "", client.Answered(err)
	}
	if len(found.GetOperations()) == 0 {
		return "", cli.Hint(errors.New("no operation has an outcome like that"), "`docket search --kind outcome` prints those that there are")
	}
	return found.GetOperations()[0].GetUid(), nil
}

// showRows returns the timeline as rows. Lines below a row would end the columns
// of a table, so the cells are padded here.
func showRows(timeline []moment) []cli.Row {
	rows := make([]cli.Row, len(timeline))
	cells := [][]string{showColumns}
	c := settingOf(timeline)
	for i, m := range timeline {
		rows[i] = showRow(m.header, m.raw, timeline[0].header.Time)
		for _, line := range detailsOf(m.header, m.raw, c) {
			rows[i].Below = append(rows[i].Below, "    "+line)
		}
		escaped := make([]string, len(rows[i].Cells))
		for j, c := range rows[i].Cells {
			escaped[j] = cli.Escape(c)
		}
		cells = append(cells, escaped)
	}
	wide := widths(cells)
	for i := range rows {
		for j := range len(wide) - 1 {
			rows[i].Cells[j] = pad(cells[i+1][j], wide[j])
		}
	}
	return rows
}

// settingOf gathers what events of a timeline tell about others.
func settingOf(timeline []moment) setting {
	c := setting{asked: map[string]string{}}
	for _, m := range timeline {
		switch h := m.header; h.Kind {
		case profile.KindEvaluation:
			c.asked[h.EvaluationUID] = whoJudges(h) + " was (" + h.Phase + ")"
		case profile.KindOutcome:
			var d detail
			if err := json.Unmarshal(m.raw, &d); err == nil { // else it is said where the outcome is
				c.attributes = d.Unmapped.Docket.Attributes
			}
		}
	}
	return c
}

func showRow(h profile.Header, raw []byte, start int64) cli.Row {
	at := newEventRows().clock(time.UnixMilli(h.Time), "15:04:05.000")
	if h.Time != start {
		at = fmt.Sprintf("%+d ms", h.Time-start)
	}
	binding := whoJudges(h)
	if h.Kind == profile.KindOutcome {
		binding = ""
	}
	sentence := profile.Sentence(h)
	return cli.Row{
		Cells:  []string{at, h.Kind, h.Phase, binding, h.Decision, sentence},
		CSV:    []string{csvTime(h.Time), h.Kind, h.Phase, binding, h.Decision, sentence},
		JSON:   raw,
		Short:  at + " " + sentence,
		Colour: eventColour(h),
	}
}

func whoJudges(h profile.Header) string {
	if h.Binding == "" {
		return h.Interceptor
	}
	return h.Interceptor + "/" + h.Binding
}
