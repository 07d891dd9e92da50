// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

const (
	// maxComment is how long a comment may get: those who show them take 65,536
	// characters. Samples are left out beyond it.
	maxComment = 60_000
	// maxRows is how many groups the table has.
	maxRows = 100
	// maxCell is how much of a text is shown in a cell.
	maxCell = 200
)

// writeMarkdown writes what fits into a comment on a change: a table of what
// became other, and operations to unfold.
func (a *replayAnswer) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Replay\n\n```text\n%s\n```\n\n", a.Headline())
	if a.Incomplete {
		fmt.Fprintf(&b, "**%s**\n\n", incompleteNote)
	}
	if a.Against != "" {
		fmt.Fprintf(&b, "Compared with what plan %s makes of the operations now.\n\n", literal(a.Against))
	}
	if a.Verdict.Fails {
		fmt.Fprintf(&b, "It fails: %s.\n\n", literal(strings.Join(a.Verdict.Reasons, ", ")))
	}
	if a.Sample != nil {
		fmt.Fprintf(&b, "A sample of at most %s of each service, method and decision, seed %d.\n\n", cli.Count(int64(a.Sample.Operations), "operation"), a.Sample.Seed)
	}
	if len(a.Groups) > 0 {
		b.WriteString("| operations | difference | method | binding | reason |\n|---:|---|---|---|---|\n")
		rows := 0
		for ; rows < min(len(a.Groups), maxRows) && b.Len() < maxComment*3/4; rows++ {
			g := &a.Groups[rows]
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cli.Thousands(int64(g.Count)), literal(difference(g)), literal(g.Service+"/"+g.Method), literal(bindingOfGroup(g)), literal(g.Reason))
		}
		if left := len(a.Groups) - rows; left > 0 {
			fmt.Fprintf(&b, "\nand %s\n", cli.Count(int64(left), "more group"))
		}
		b.WriteByte('\n')
	}
	for i := range a.Groups {
		g := &a.Groups[i]
		var one strings.Builder
		fmt.Fprintf(&one, "<details><summary>%s</summary>\n\n<pre>\n", literal(fmt.Sprintf("%s %s, %s/%s", cli.Thousands(int64(g.Count)), difference(g), g.Service, g.Method)))
		for j := range g.Samples {
			one.WriteString(preformatted(g.Samples[j].String()) + "\n")
		}
		one.WriteString("</pre>\n\n</details>\n\n")
		if b.Len()+one.Len() > maxComment {
			b.WriteString("More operations are left out here.\n\n")
			break
		}
		b.WriteString(one.String())
	}
	for i := range a.Noise {
		if line := fmt.Sprintf("- %s\n", literal(a.Noise[i].String())); b.Len()+len(line) <= maxComment {
			b.WriteString(line)
		}
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// literal returns markdown, for any place within a line, that shows a text as it
// is: in <code>, where nobody is notified of their name, with everything that
// could be markup as a character reference, which is never taken for markup.
func literal(s string) string {
	if s == "" {
		return ""
	}
	s = cli.Escape(s)
	if runes := []rune(s); len(runes) > maxCell {
		s = string(runes[:maxCell]) + "..."
	}
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range s {
		if r < 0x80 && !strings.ContainsRune(" -/,", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	b.WriteString("</code>")
	return b.String()
}

// preformatted returns HTML for within <pre>, where markdown is not read.
func preformatted(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(cli.EscapeText(s))
}
