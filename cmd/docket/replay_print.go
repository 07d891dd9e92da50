// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor/replay"
)

// The formats that only replay has.
const (
	junitFormat    = "junit"
	markdownFormat = "markdown"
)

var replayFormats = []string{cli.Table, cli.JSON, junitFormat, markdownFormat}

// A replayAnswer is what replay prints. Its JSON form is a contract, to which
// members may be added.
type replayAnswer struct {
	*replay.Report
	Sample     *replaySample `json:"sample,omitempty"`
	Incomplete bool          `json:"incomplete,omitempty"` // it was interrupted
	Verdict    replayVerdict `json:"verdict"`
	// Against is the digest of the plan that took the record's place, if one did.
	Against string `json:"against,omitempty"`
}

// A replaySample is which operations were replayed, when not all were.
type replaySample struct {
	Operations int    `json:"operations"` // of each stratum, at the most
	Seed       uint64 `json:"seed"`
}

// A replayVerdict is what the report comes to, by --fail-on and its like.
type replayVerdict struct {
	Fails   bool     `json:"fails"`
	Reasons []string `json:"reasons"`
}

func (v *verdict) told() replayVerdict {
	return replayVerdict{Fails: len(v.reasons) > 0, Reasons: append([]string{}, v.reasons...)}
}

func (a *replayAnswer) write(w io.Writer, format string, v *verdict) error {
	switch format {
	case cli.JSON:
		return cli.PrintJSON(w, a)
	case junitFormat:
		return a.writeJUnit(w, v)
	case markdownFormat:
		return a.writeMarkdown(w)
	}
	return a.writeTable(w)
}

// incompleteNote is what every format for people says of a report that is one on a part.
const incompleteNote = "interrupted: this is a part of the history"

// writeTable writes the headline, a table of the groups, and a few operations of
// each.
func (a *replayAnswer) writeTable(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, a.Headline())
	if a.Reexecuted > 0 {
		fmt.Fprintf(out, "re-executed %s in process, %s by services\n", cli.Thousands(int64(a.Linked)), cli.Thousands(int64(a.Dialled)))
	}
	if a.Against != "" {
		fmt.Fprintf(out, "compared with what plan %s makes of the operations now\n", a.Against)
	}
	if a.Sample != nil {
		fmt.Fprintf(out, "a sample of at most %s of each service, method and decision, seed %d\n", cli.Count(int64(a.Sample.Operations), "operation"), a.Sample.Seed)
	}
	if a.Incomplete {
		fmt.Fprintln(out, incompleteNote)
	}
	if len(a.Groups) > 0 {
		fmt.Fprintln(out)
		tab := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(tab, "COUNT\tDIFFERENCE\tMETHOD\tBINDING\tREASON")
		for i := range a.Groups {
			g := &a.Groups[i]
			fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\n", cli.Thousands(int64(g.Count)), cli.Escape(difference(g)), cli.Escape(g.Service+"/"+g.Method), cli.Escape(bindingOfGroup(g)), cli.Escape(g.Reason))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	for i := range a.Groups {
		for j := range a.Groups[i].Samples {
			fmt.Fprintf(out, "\n%s\n", cli.EscapeText(a.Groups[i].Samples[j].String()))
		}
	}
	for i := range a.Noise {
		if i == 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, cli.Escape(a.Noise[i].String()))
	}
	return out.Flush()
}

// difference is what a group's operations have become.
func difference(g *replay.Group) string {
	switch {
	case g.Comparison == replay.Flipped, g.Comparison == replay.StatusDiffers, g.Comparison == replay.Erred && g.From != "" && g.To != "":
		return strings.ReplaceAll(string(g.Comparison), "_", "-") + " " + g.From + "->" + g.To
	default:
		return kindOf(g)
	}
}

func bindingOfGroup(g *replay.Group) string {
	if g.Interceptor == "" {
		return ""
	}
	return g.Interceptor + "/" + g.Binding
}
