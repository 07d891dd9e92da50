// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor/replay"
)

// The elements of a JUnit report, as continuous integration reads them. Text in it
// comes from events: it is escaped as for a terminal, and then as XML.
type (
	junitSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Skipped *junitProblem `xml:"skipped,omitempty"`
		Error   *junitProblem `xml:"error,omitempty"`
		Failure *junitProblem `xml:"failure,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a test case for each stratum, and one that says whether the
// report is worth anything.
func (a *replayAnswer) writeJUnit(w io.Writer, v *verdict) error {
	s := junitSuite{Name: "docket replay", Properties: []junitProperty{
		{"headline", a.Headline()},
		{"replayed", strconv.Itoa(a.Replayed)},
		{"reexecuted_in_process", strconv.Itoa(a.Linked)},
		{"reexecuted_by_services", strconv.Itoa(a.Dialled)},
	}}
	if a.Against != "" {
		s.Properties = append(s.Properties, junitProperty{"against", a.Against})
	}
	if a.Sample != nil {
		s.Properties = append(s.Properties, junitProperty{"sample", strconv.Itoa(a.Sample.Operations)}, junitProperty{"seed", strconv.FormatUint(a.Sample.Seed, 10)})
	}
	for i := range a.Strata {
		s.add(a.stratumCase(&a.Strata[i], v))
	}
	s.add(a.worth())
	suites := junitSuites{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Suite: s}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(&suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// stratumCase is the case of operations of one method that were decided alike.
func (a *replayAnswer) stratumCase(s *replay.Stratum, v *verdict) junitCase {
	c := junitCase{Class: cli.Escape(s.Service), Name: cli.Escape(fmt.Sprintf("%s, recorded %s", s.Method, s.Decision))}
	var failing, passing []*replay.Group
	for i := range a.Groups {
		g := &a.Groups[i]
		switch {
		case !a.of(g, s):
		case v.fails[i]:
			failing = append(failing, g)
		default:
			passing = append(passing, g)
		}
	}
	switch {
	case len(failing) > 0:
		c.Failure = &junitProblem{Message: summary(failing), Type: kindOf(failing[0]), Text: details(failing)}
	case s.Unreplayable == s.Operations && s.Unreplayable > 0:
		c.Skipped = &junitProblem{Message: "none of the operations could be replayed", Text: details(passing)}
		return c
	}
	c.Out = details(passing)
	return c
}

// of says whether a group has operations of a stratum. A group does not say what
// was recorded of operations that could not be replayed, or where another plan
// took the record's place: then it may be of any stratum of its method that has
// such operations.
func (a *replayAnswer) of(g *replay.Group, s *replay.Stratum) bool {
	switch {
	case g.Service != s.Service || g.Method != s.Method:
		return false
	case g.Comparison == replay.Unreplayable:
		return s.Unreplayable > 0
	case s.Different == 0:
		return false
	case a.Against != "" || g.Comparison == replay.StatusDiffers:
		return true
	}
	return g.From == s.Decision
}

func summary(groups []*replay.Group) string {
	parts := make([]string, len(groups))
	for i, g := range groups {
		parts[i] = cli.Escape(cli.Thousands(int64(g.Count)) + " " + difference(g))
	}
	return strings.Join(parts, ", ")
}

// details are the groups, with the samples that they have.
func details(groups []*replay.Group) string {
	var b strings.Builder
	for _, g := range groups {
		b.WriteString("\n" + cli.Escape(g.String()) + "\n")
		for i := range g.Samples {
			b.WriteString(cli.EscapeText(g.Samples[i].String()) + "\n")
		}
	}
	return b.String()
}

// worth is the case of the report itself.
func (a *replayAnswer) worth() junitCase {
	c := junitCase{Class: "docket replay", Name: "evidence"}
	switch {
	case a.Incomplete:
		c.Error = &junitProblem{Message: incompleteNote, Type: "incomplete"}
	case a.Operations() == 0:
		c.Error = &junitProblem{Message: errNoOperations.Error(), Type: "nothing"}
	case a.Reexecuted == 0:
		c.Error = &junitProblem{Message: errNoneExecuted.Error(), Type: "nothing"}
	}
	return c
}
