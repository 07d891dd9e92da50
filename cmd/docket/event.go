// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/internal/profile"
)

// eventColumns are those of an event in a table or in CSV.
var eventColumns = []string{"time", "tenant", "kind", "decision", "operation", "sentence"}

// csvTime is how programs are told a time of milliseconds: RFC 3339.
func csvTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// eventRow turns an event's bytes into a row. Widths are fixed, so that a table
// that is shown while it grows stays one.
func eventRow(raw []byte) (cli.Row, error) {
	h, err := profile.Parse(raw)
	if err != nil {
		return cli.Row{}, fmt.Errorf("read event: %w", err)
	}
	sentence := profile.Sentence(h)
	at := time.UnixMilli(h.Time)
	return cli.Row{
		Cells:  []string{at.Format("15:04:05.000"), pad(h.Tenant, 8), pad(h.Kind, 10), pad(h.Decision, 8), pad(h.OperationUID, 36), sentence},
		CSV:    []string{csvTime(h.Time), h.Tenant, h.Kind, h.Decision, h.OperationUID, sentence},
		JSON:   raw,
		Short:  at.Format("15:04:05") + " " + sentence,
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

// eventFilter is the flags that select events. The same flag again means or,
// different flags mean and; --filter says everything else.
type eventFilter struct {
	flags map[string]*[]string // by column
	cel   string
}

var filterFlags = []struct{ flag, column, usage string }{
	{"tenant", "tenant", "only events of this tenant"},
	{"kind", "kind", "only events of this kind: " + strings.Join(profile.Kinds(), ", ")},
	{"decision", "decision", "only events of this decision: allow, deny, modify, none"},
	{"method", "method", "only events about this method"},
	{"service", "service", "only events about this service"},
	{"principal", "principal", "only events about this principal"},
	{"interceptor", "interceptor", "only events of this interceptor"},
	{"operation", "operation_uid", "only events of this operation"},
}

func newEventFilter(f *pflag.FlagSet) *eventFilter {
	e := &eventFilter{flags: map[string]*[]string{}}
	for _, ff := range filterFlags {
		e.flags[ff.column] = f.StringSlice(ff.flag, nil, ff.usage)
	}
	f.StringVar(&e.cel, "filter", "", `CEL over columns, such as 'tenant == "acme" && duration_ms > 100'`)
	return e
}

// expression returns the filter as CEL.
func (e *eventFilter) expression() (string, error) {
	var all []string
	for _, ff := range filterFlags {
		values := *e.flags[ff.column]
		if len(values) == 0 {
			continue
		}
		if err := known(ff.flag, values); err != nil {
			return "", err
		}
		terms := make([]string, len(values))
		for i, v := range values {
			terms[i] = ff.column + " == " + celString(v)
		}
		term := strings.Join(terms, " || ")
		if len(terms) > 1 {
			term = "(" + term + ")"
		}
		all = append(all, term)
	}
	if e.cel != "" {
		if err := checkFilter(e.cel); err != nil {
			return "", err
		}
		if len(all) == 0 {
			return e.cel, nil
		}
		all = append(all, "("+e.cel+")")
	}
	return strings.Join(all, " && "), nil
}

// checkFilter reads a filter here, and not only where it is run: a typo is wrong
// usage, and known before anything is opened.
func checkFilter(expression string) error {
	_, err := filter.Parse(expression)
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return cli.Usage(cli.Hint(fmt.Errorf("--filter: %s", wrong.Reason), "%s", wrong.Hint()))
	}
	return err
}

// known refuses words that no event can have: an empty answer to a typo would
// look like "nothing happened".
func known(flag string, values []string) error {
	words := map[string][]string{
		"kind":     profile.Kinds(),
		"decision": {profile.DecisionAllow, profile.DecisionDeny, profile.DecisionModify, profile.DecisionNone},
	}[flag]
	for _, v := range values {
		if words != nil && !slices.Contains(words, v) {
			return cli.Usage(cli.Hint(fmt.Errorf("--%s %s: no event has it", flag, v), "one of %s", strings.Join(words, ", ")))
		}
	}
	return nil
}

func celString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
