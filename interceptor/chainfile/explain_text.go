// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// said writes a value and its origin; the file's own lines without its name.
func (e *Explanation) said(v Value) string {
	if line, ok := strings.CutPrefix(v.Origin, e.File+":"); ok {
		v.Origin = "line " + line
	}
	return v.String()
}

// WriteTo writes the explanation for people: who runs when and on what, then
// the limits of each interceptor and whom its tokens are for, what else is said of
// single bindings, and what is withheld from the record.
func (e *Explanation) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "%s (%s format)\n", e.File, e.Format)
	fmt.Fprintf(&buf, "methods that no binding selects: %s\naudit: %s, deadline %s, then %s\n", e.said(e.Unmatched), e.said(e.Audit), e.said(e.Deadline), e.said(e.Answer))
	for _, name := range slices.Sorted(maps.Keys(e.AuditMethods)) {
		fmt.Fprintf(&buf, "audit of %s: %s\n", name, e.said(e.AuditMethods[name]))
	}
	buf.WriteString(e.record())
	buf.WriteByte('\n')
	if len(e.Steps) == 0 {
		buf.WriteString("no binding is in force\n")
	}
	for _, table := range [][][]string{e.steps(), e.limits(), e.audiences(), e.options(), e.withheld()} {
		if len(table) < 2 {
			continue
		}
		if !bytes.HasSuffix(buf.Bytes(), []byte("\n\n")) {
			buf.WriteByte('\n')
		}
		lines := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
		for _, row := range table {
			fmt.Fprintln(lines, strings.Join(row, "\t"))
		}
		if err := lines.Flush(); err != nil {
			return 0, err
		}
	}
	for _, name := range e.Unread {
		fmt.Fprintf(&buf, "\nunknown: the manifest of %q was not read; what else it binds shows when it runs", name)
	}
	for _, warning := range e.Warnings {
		fmt.Fprintf(&buf, "\nwarning: %s", warning)
	}
	if len(e.Unread)+len(e.Warnings) > 0 {
		buf.WriteByte('\n')
	}
	return buf.WriteTo(w)
}

func (e *Explanation) steps() [][]string {
	table := [][]string{{"PHASE", "INTERCEPTOR", "BINDING", "ON", "IF IT FAILS", "ORDER", "AT"}}
	for _, s := range e.Steps {
		on := Value{cmp.Or(strings.Join(s.Methods, " "), "every method"), s.MethodsOrigin, s.MethodsLevel}
		table = append(table, []string{s.Phase, s.Interceptor, e.said(s.Binding), e.said(on), e.said(s.FailurePolicy), e.said(s.Order), s.Endpoint})
	}
	return table
}

func (e *Explanation) limits() [][]string {
	table := [][]string{{"LIMITS OF", "TIMEOUT", "RESPONSE BYTES", "PATCHES", "AT ONCE", "WAITING"}}
	seen := map[string]bool{}
	for _, s := range e.Steps {
		if !seen[s.Interceptor] {
			seen[s.Interceptor] = true
			table = append(table, []string{s.Interceptor, e.said(s.Timeout), e.said(s.MaxResponseBytes), e.said(s.MaxPatches), e.said(s.MaxConcurrent), e.said(s.MaxQueue)})
		}
	}
	return table
}

func (e *Explanation) options() [][]string {
	table := [][]string{{"BESIDES", "BINDING", "KEY", "VALUE"}}
	seen := map[int]bool{}
	for _, s := range e.Steps {
		if seen[s.number] {
			continue
		}
		seen[s.number] = true
		for _, key := range slices.Sorted(maps.Keys(s.Options)) {
			table = append(table, []string{s.Interceptor, s.Binding.Value, key, e.said(s.Options[key])})
		}
	}
	return table
}
