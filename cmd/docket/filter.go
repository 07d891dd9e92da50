// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/internal/profile"
)

// filterHelp is what the help of verbs with these flags says of them.
const filterHelp = `The same flag again means or, different flags mean and; --filter says everything
else. --not negates the flag behind it, and that one alone. What is negated leaves
events out by the same rule: --not --kind result --not --decision allow leaves out
results that are allow, and no other results. --print-filter prints the flags as CEL.`

// eventFilter is the flags that select events, as they came. Those behind --not
// say what is left out; on both sides the same flag again means or and different
// flags mean and, as it is in hubble.
type eventFilter struct {
	selected, left terms
	not            bool // --not came, and no flag yet that it negates
	print          bool // --print-filter
}

// asked returns the filter as CEL; with --print-filter it prints that, bounded by
// the span if there is one, and is all there is to do.
func (e *eventFilter) asked(c *cobra.Command, within *span) (expression string, done bool, err error) {
	if within != nil {
		if err := within.parse(time.Now()); err != nil {
			return "", false, err
		}
	}
	if expression, err = e.expression(); err != nil || !e.print {
		return expression, false, err
	}
	whole := expression
	if within != nil {
		whole = within.within(expression)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), cli.Escape(whole))
	return expression, true, err
}

// tenants are those that were named to be selected. They are asked for by name,
// beside the filter: who may not see one of them is refused, in the place of being
// shown nothing.
func (e *eventFilter) tenants() []string { return e.selected["tenant"] }

// terms are the values of flags, by column; those of --filter are by "".
type terms map[string][]string

var filterFlags = []struct{ flag, column, usage string }{
	{"tenant", "tenant", "only events of this tenant"},
	{"kind", "kind", "only events of this kind: " + strings.Join(profile.Kinds(), ", ")},
	{"decision", "decision", "only events of this decision: allow, deny, modify, none"},
	{"method", "method", "only events about this method"},
	{"service", "service", "only events about this service"},
	{"principal", "principal", "only events about this principal"},
	{"interceptor", "interceptor", "only events of this interceptor"},
	{"operation", "operation_uid", "only events of this operation"},
	{"filter", "", `CEL over columns, such as 'tenant == "acme" && duration_ms > 100'`},
}

func newEventFilter(f *pflag.FlagSet) *eventFilter {
	e := &eventFilter{selected: terms{}, left: terms{}}
	for _, ff := range filterFlags {
		f.Var(&filterFlag{of: e, flag: ff.flag, column: ff.column}, ff.flag, ff.usage)
	}
	f.Var(&notFlag{e}, "not", "negate the next of these flags")
	f.Lookup("not").NoOptDefVal = "true"
	f.BoolVar(&e.print, "print-filter", false, "print the CEL that these flags make, and end")
	return e
}

// A filterFlag is one of the flags.
type filterFlag struct {
	of           *eventFilter
	flag, column string
}

// Set implements [pflag.Value].
func (v *filterFlag) Set(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("it is not UTF-8") // String tells nobody what it is
	}
	values := []string{text}
	if v.column != "" && !strings.ContainsAny(text, "\r\n") { // CEL has commas of its own, and a list is one line
		if list, err := csv.NewReader(strings.NewReader(text)).Read(); err == nil {
			values = list // else it is one value, with quotation marks in it
		}
	}
	to := v.of.selected
	if v.of.not {
		to, v.of.not = v.of.left, false
	}
	to[v.column] = append(to[v.column], values...)
	return nil
}

// String implements [pflag.Value].
func (v *filterFlag) String() string { return "" }

// Type implements [pflag.Value].
func (v *filterFlag) Type() string {
	if v.column == "" {
		return "string"
	}
	return "strings"
}

// A notFlag is --not.
type notFlag struct{ of *eventFilter }

// Set implements [pflag.Value].
func (v *notFlag) Set(text string) error {
	switch {
	case text != "true":
		return errors.New("--not takes no value")
	case v.of.not:
		return errors.New("--not --not: one negates the next flag already")
	}
	v.of.not = true
	return nil
}

// String implements [pflag.Value].
func (v *notFlag) String() string { return "" }

// Type implements [pflag.Value].
func (v *notFlag) Type() string { return "bool" }

// IsBoolFlag says that it takes no value.
func (v *notFlag) IsBoolFlag() bool { return true }

// expression returns the filter as CEL, "" for all events.
func (e *eventFilter) expression() (string, error) {
	if e.not {
		return "", cli.Usage(cli.Hint(errors.New("--not at the end negates nothing"), "put it before the flag that it negates: --not --kind result"))
	}
	selected, err := e.selected.cel()
	if err != nil {
		return "", err
	}
	left, err := e.left.cel()
	if err != nil {
		return "", err
	}
	if len(left) > 0 {
		selected = append(selected, "!("+strings.Join(left, " && ")+")")
	}
	if len(selected) == 1 && len(left) == 0 && len(e.selected[""]) == 1 {
		return e.selected[""][0], nil // as it was written
	}
	return strings.Join(selected, " && "), nil
}

// cel returns the terms, of which all must hold.
func (t terms) cel() ([]string, error) {
	var all []string
	for _, ff := range filterFlags {
		values := t[ff.column]
		if len(values) == 0 {
			continue
		}
		if err := known(ff.flag, values); err != nil {
			return nil, err
		}
		either := make([]string, len(values))
		for i, v := range values {
			if ff.column != "" {
				either[i] = ff.column + " == " + celString(v)
				continue
			}
			if err := checkFilter(v); err != nil {
				return nil, err
			}
			either[i] = "(" + v + ")"
		}
		term := strings.Join(either, " || ")
		if len(either) > 1 {
			term = "(" + term + ")"
		}
		all = append(all, term)
	}
	return all, nil
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
	words := map[string][]string{"kind": profile.Kinds(), "decision": decisions()}[flag]
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
