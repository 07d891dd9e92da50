// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// A validateReport prints judgements as they come and counts them.
type validateReport struct {
	o       *validateOptions
	files   int
	printer *cli.Printer
	before  func() // called before something is printed; may be nil
	seen    bool   // the table goes to a terminal, where its rows are read with the error

	events, invalid, warned, unreadable int
	bundles, invalidBundles             int
	errors, warnings                    int // issues
	codes                               map[code]int
	unlisted                            int
	first                               error // of what could not be read or judged
	interrupted                         bool  // there may be more that was not judged
}

type code struct{ severity, code string }

// The rows of -o ndjson. New members may be added, none may go.
type (
	eventLine struct {
		File      string  `json:"file"`
		Index     int64   `json:"index"`
		ClassUID  *int64  `json:"class_uid"` // null when it has none that is an integer
		Valid     bool    `json:"valid"`
		Errors    []issue `json:"errors"`
		Warnings  []issue `json:"warnings"`
		Line      int64   `json:"line"`
		UID       string  `json:"uid,omitempty"`
		Schema    string  `json:"schema"`              // the version that judged
		Truncated bool    `json:"truncated,omitempty"` // there are more issues than a report holds
	}
	bundleLine struct {
		File      string  `json:"file"`
		Line      int64   `json:"line"`
		Bundle    bool    `json:"bundle"`
		Valid     bool    `json:"valid"`
		Errors    []issue `json:"errors"`
		Warnings  []issue `json:"warnings"`
		Schema    string  `json:"schema"`
		Truncated bool    `json:"truncated,omitempty"` // there are more issues than a report holds
	}
	errorLine struct {
		File  string `json:"file"`
		Index *int64 `json:"index,omitempty"`
		Line  int64  `json:"line,omitempty"`
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}
	issue struct {
		Code    string `json:"code"`
		Path    string `json:"path"`
		Message string `json:"message"`
	}
)

func issues(from []ocsf.Issue) []issue {
	to := make([]issue, len(from))
	for i, f := range from {
		to[i] = issue{Code: f.Code, Path: f.Path, Message: f.Message}
	}
	return to
}

// add counts v and prints it where it is to be seen.
func (r *validateReport) add(v *judgement) error {
	listed := r.count(v)
	if r.printer.Format == cli.NDJSON {
		if v.bundle && v.err == nil && len(v.report.Errors)+len(v.report.Warnings) == 0 {
			return nil
		}
		line, err := ndjson(v)
		if err != nil {
			return err
		}
		return r.print(cli.Row{JSON: line})
	}
	switch {
	case listed == 0:
		return nil
	case r.o.limit > 0 && listed > r.o.limit && v.line > 0: // a file is always listed
		r.unlisted++
		return nil
	case v.err != nil:
		return r.print(unreadable(v))
	}
	colour := cli.Yellow
	if !v.report.Valid() {
		colour = cli.Red
	}
	return r.print(cli.Row{Cells: []string{place(v) + ": " + r.heading(v)}, Below: r.issues(v.report), Colour: colour})
}

func (r *validateReport) print(row cli.Row) error {
	if r.before != nil {
		r.before()
	}
	return r.printer.Row(row)
}

// count returns the how manieth of its kind v is: unreadable, invalid or with
// warnings; 0 of what is as it should be.
func (r *validateReport) count(v *judgement) int {
	switch {
	case v.bundle:
		r.bundles++
	case v.index >= 0:
		r.events++
	}
	if v.err != nil {
		if r.unreadable++; r.first == nil {
			r.first = v.err
			if v.line > 0 {
				r.first = fmt.Errorf("%s:%d: %w", v.file, v.line, v.err)
			}
		}
		return r.unreadable
	}
	if r.codes == nil {
		r.codes = map[code]int{}
	}
	for _, i := range v.report.Errors {
		r.codes[code{"error", i.Code}]++
	}
	for _, i := range v.report.Warnings {
		r.codes[code{"warning", i.Code}]++
	}
	r.errors += len(v.report.Errors)
	r.warnings += len(v.report.Warnings)
	switch {
	case !v.report.Valid() && v.bundle:
		r.invalidBundles++
		return r.invalid + r.invalidBundles
	case !v.report.Valid():
		r.invalid++
		return r.invalid + r.invalidBundles
	case len(v.report.Warnings) > 0:
		r.warned++
		return r.warned
	}
	return 0
}

// ndjson returns the row of v.
func ndjson(v *judgement) ([]byte, error) {
	var row any
	switch {
	case v.err != nil:
		line := errorLine{File: v.file, Line: v.line, Error: v.err.Error(), Hint: hintOf(v.err)}
		if v.index >= 0 {
			line.Index = &v.index
		}
		row = line
	case v.bundle:
		row = bundleLine{
			v.file, v.line, true, v.report.Valid(), issues(v.report.Errors), issues(v.report.Warnings), v.version, v.report.Truncated,
		}
	default:
		row = eventLine{
			v.file, v.index, v.class(), v.report.Valid(), issues(v.report.Errors), issues(v.report.Warnings), v.line, v.report.UID, v.version,
			v.report.Truncated,
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(row)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// place says where v is, as compilers do.
func place(v *judgement) string {
	s := v.file
	if v.line > 0 {
		s = fmt.Sprintf("%s:%d", s, v.line)
	}
	if v.index >= 0 && !v.bundle {
		s = fmt.Sprintf("%s: event %d", s, v.index)
	}
	return s
}

// unreadable is the line of the table for what could not be read or judged. An
// error of a file names the file.
func unreadable(v *judgement) cli.Row {
	row := cli.Row{Cells: []string{"unreadable: " + v.err.Error()}, Colour: cli.Red}
	if v.line > 0 {
		row.Cells[0] = place(v) + ": " + row.Cells[0]
	}
	if hint := hintOf(v.err); hint != "" {
		row.Below = []string{"  hint: " + hint}
	}
	return row
}

// heading says what is judged and how much was found.
func (r *validateReport) heading(v *judgement) string {
	what := "bundle"
	if !v.bundle {
		what = className(v)
	}
	if v.report.UID != "" {
		what += ", uid " + v.report.UID
	}
	if r.o.schema == schemaAuto {
		what += ", schema " + v.version
	}
	return fmt.Sprintf("%s: %s", what, found(v.report))
}

func className(v *judgement) string {
	uid := v.class()
	switch {
	case !v.object:
		return "no event"
	case uid == nil:
		return "no class"
	}
	if s, err := schema.Load(v.version); err == nil {
		if c := s.ClassByUID(int(*uid)); c != nil {
			return fmt.Sprintf("%s %d", c.Caption, c.UID)
		}
	}
	return fmt.Sprintf("class %d", *uid)
}

func found(r *ocsf.Report) string {
	var parts []string
	if n := len(r.Errors); n > 0 {
		parts = append(parts, number(n, "error"))
	}
	if n := len(r.Warnings); n > 0 {
		parts = append(parts, number(n, "warning"))
	}
	return strings.Join(parts, ", ")
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// issues returns the lines below an event, in columns.
func (r *validateReport) issues(of *ocsf.Report) []string {
	var rows [][4]string
	var width [3]int
	add := func(severity string, issues []ocsf.Issue) {
		for _, i := range issues {
			if r.o.limit > 0 && len(rows) == r.o.limit {
				return
			}
			row := [4]string{severity, i.Code, i.Path, i.Message}
			for c := range width {
				row[c] = cli.Escape(row[c])
				width[c] = min(max(width[c], utf8.RuneCountInString(row[c])), widest)
			}
			rows = append(rows, row)
		}
	}
	add("error", of.Errors)
	add("warning", of.Warnings)
	lines := make([]string, 0, len(rows)+1)
	for _, row := range rows {
		lines = append(lines, fmt.Sprintf("  %-*s  %-*s  %-*s  %s", width[0], row[0], width[1], row[1], width[2], row[2], row[3]))
	}
	if more := len(of.Errors) + len(of.Warnings) - len(rows); more > 0 {
		lines = append(lines, fmt.Sprintf("  ... and %d more", more))
	}
	if of.Truncated {
		lines = append(lines, "  ... and more than are looked for")
	}
	return lines
}

// widest bounds the columns of the issues of an event; a longer path pushes its
// message aside.
const widest = 60

// manyIssues is how many there are before the totals say which codes are the
// most frequent; topCodes is how many of them.
const (
	manyIssues = 10
	topCodes   = 10
)

// close prints the totals.
func (r *validateReport) close() error {
	if r.printer.Format != cli.NDJSON {
		var lines []string
		if r.unlisted > 0 {
			lines = append(lines, fmt.Sprintf("... and %d more that are not listed; --limit 0 lists all, so does -o ndjson", r.unlisted))
		}
		if r.errors+r.warnings > manyIssues && r.invalid+r.invalidBundles+r.warned > 1 {
			lines = append(lines, r.top()...)
		}
		for _, line := range append(lines, r.totals()) {
			if err := r.print(cli.Row{Cells: []string{line}}); err != nil {
				return err
			}
		}
	}
	return r.printer.Close()
}

// top returns the most frequent codes.
func (r *validateReport) top() []string {
	codes := slices.SortedFunc(maps.Keys(r.codes), func(a, b code) int {
		return cmp.Or(cmp.Compare(r.codes[b], r.codes[a]), cmp.Compare(a.severity, b.severity), cmp.Compare(a.code, b.code))
	})
	codes = codes[:min(topCodes, len(codes))]
	lines := make([]string, len(codes))
	for i, c := range codes {
		lines[i] = fmt.Sprintf("%8d  %-7s  %s", r.codes[c], c.severity, c.code)
	}
	return lines
}

func (r *validateReport) totals() string {
	s := number(r.events, "event")
	if r.interrupted {
		s = "interrupted after " + s
	}
	if r.files > 1 {
		s += fmt.Sprintf(" in %d files", r.files)
	}
	s += fmt.Sprintf(": %d invalid", r.invalid)
	if r.unreadable > 0 {
		s += fmt.Sprintf(", %d unreadable", r.unreadable)
	}
	between := ", "
	if r.bundles > 0 {
		s += fmt.Sprintf("; %s: %d invalid", number(r.bundles, "bundle"), r.invalidBundles)
		between = "; "
	}
	return fmt.Sprintf("%s%s%s, %s (schema %s, mode %s)", s, between, number(r.errors, "error"), number(r.warnings, "warning"), r.o.schema, r.o.mode)
}
