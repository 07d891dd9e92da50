// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// errGoOn ends the talk at one stop.
var errGoOn = errors.New("go on")

// A stepCommand is one that is typed at a stop.
type stepCommand struct {
	name, letter, args, does string
	do                       func(s *stepper, m *replay.Moment, args string) error
}

func stepCommands() []stepCommand {
	return []stepCommand{
		{"next", "n", "", "to after this binding, or to before the next", (*stepper).next},
		{"continue", "c", "", "to the next breakpoint, or to the end", (*stepper).goOn},
		{"break", "b", "[INTERCEPTOR/BINDING][:PHASE]", "stop before a binding, by default this one; `break list` lists breakpoints", (*stepper).breakAt},
		{"delete", "d", "NUMBER|all", "delete a breakpoint", (*stepper).deleteBreak},
		{"input", "i", "[POINTER|diff]", "what the binding is shown: the payload, a part of it, what of it is other than it was then", (*stepper).input},
		{"state", "s", "", "the current state that it is shown", (*stepper).state},
		{"metadata", "m", "", "the metadata namespaces that it is granted", (*stepper).metadata},
		{"attributes", "a", "", "the attributes that it is granted", (*stepper).attributes},
		{"principal", "p", "", "who asks", (*stepper).principal},
		{"result", "r", "", "what it answered, now and then", (*stepper).result},
		{"patches", "x", "", "its patches, and what they make of the payload", (*stepper).patches},
		{"operation", "o", "", "the operation", (*stepper).operation},
		{"plan", "l", "", "the bindings of the plan for this operation, with their settings", (*stepper).planned},
		{"where", "w", "", "where the replay is, and what the bindings decided", (*stepper).where},
		{"abort", "q", "", "end here; so does the end of the input", func(*stepper, *replay.Moment, string) error { return errAborted }},
		{"help", "h", "", "this list", (*stepper).help},
	}
}

// commandNamed finds a command by its name, its letter, or quit.
func commandNamed(name string) *stepCommand {
	if name == "quit" || name == "exit" {
		name = "abort"
	}
	for _, c := range stepCommands() {
		if c.name == name || c.letter == name {
			return &c
		}
	}
	return nil
}

// interact does what is typed, until that is to go on.
func (s *stepper) interact(ctx context.Context, m *replay.Moment) error {
	for s.failed == nil {
		if s.prompt != "" {
			fmt.Fprint(s.out, s.prompt) // its error is that of the next line
		}
		text, err := s.in.read(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, io.EOF):
			if s.prompt != "" {
				s.say("")
			}
			return errAborted
		case err != nil:
			return fmt.Errorf("read commands: %w", err)
		case text == "" || strings.HasPrefix(text, "#"):
			continue
		}
		name, args, _ := strings.Cut(text, " ")
		c := commandNamed(name)
		if c == nil {
			s.say("no command %q; `help` lists them", name)
			continue
		}
		switch err := c.do(s, m, strings.TrimSpace(args)); {
		case errors.Is(err, errGoOn):
			return nil
		case errors.Is(err, errAborted):
			return err
		case err != nil:
			s.say("%v", err)
		}
	}
	return errAborted
}

func (s *stepper) next(*replay.Moment, string) error { return errGoOn }

func (s *stepper) goOn(*replay.Moment, string) error {
	s.running = true
	return errGoOn
}

func (s *stepper) breakAt(m *replay.Moment, args string) error {
	switch {
	case args == "list":
		if len(s.breaks) == 0 {
			s.say("no breakpoints")
		}
		for i, b := range s.breaks {
			s.say("%d  %s", i+1, b.text)
		}
		return nil
	case args == "" || strings.HasPrefix(args, ":"):
		args = nameOf(m.Evaluation.Interceptor, m.Evaluation.Binding) + args
	}
	b, err := s.parseBreakpoint(args)
	if err != nil {
		return err
	}
	s.breaks = append(s.breaks, b)
	s.say("breakpoint %d: %s", len(s.breaks), b.text)
	return nil
}

func (s *stepper) deleteBreak(_ *replay.Moment, args string) error {
	if args == "all" {
		s.breaks = nil
		return nil
	}
	n, err := strconv.Atoi(args)
	if err != nil || n < 1 || n > len(s.breaks) {
		return fmt.Errorf("no breakpoint %q; `break list` lists them", args)
	}
	s.breaks = slices.Delete(s.breaks, n-1, n)
	return nil
}

func (s *stepper) input(m *replay.Moment, args string) error {
	p := m.Evaluation.Payload
	switch {
	case args == "diff":
		if m.Then == nil || m.Then.Payload == nil {
			return errors.New("what it was shown then is not in the record")
		}
		return s.differences(m.Then.Payload, p, "it is shown what it was shown then")
	case args != "":
		if p == nil {
			return errNoPayload
		}
		v, ok := p.Lookup(args)
		if !ok {
			return fmt.Errorf("nothing is at %s", args)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return s.pretty(raw)
	}
	return s.payload(p)
}

var errNoPayload = errors.New("the payload is not in the record")

func (s *stepper) payload(p *interceptor.Payload) error {
	if p == nil {
		return errNoPayload
	}
	raw, err := p.JSON()
	if err != nil {
		return err
	}
	return s.pretty(raw)
}

func (s *stepper) pretty(raw []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	s.block(b.String())
	return nil
}

// differences prints what two payloads have not in common.
func (s *stepper) differences(before, after *interceptor.Payload, none string) error {
	if before == nil || after == nil {
		return errNoPayload
	}
	x, err := before.JSON()
	if err != nil {
		return err
	}
	y, err := after.JSON()
	if err != nil {
		return err
	}
	lines, err := jsonLines(x, y)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		s.say("%s", none)
	}
	for _, line := range lines {
		s.say("  %s", line)
	}
	return nil
}

func (s *stepper) state(m *replay.Moment, _ string) error {
	if m.Evaluation.State == nil {
		s.say("it is shown no current state")
		return nil
	}
	return s.payload(m.Evaluation.State)
}

func (s *stepper) metadata(m *replay.Moment, _ string) error {
	if len(m.Evaluation.Metadata) == 0 {
		s.say("it is shown no metadata")
		return nil
	}
	return s.value(m.Evaluation.Metadata)
}

func (s *stepper) attributes(m *replay.Moment, _ string) error {
	return s.texts(m.Evaluation.Attributes, "it is shown no attributes")
}

func (s *stepper) principal(m *replay.Moment, _ string) error {
	return s.texts(m.Evaluation.Principal, "the record does not say who asks")
}

func (s *stepper) texts(values map[string]string, none string) error {
	if len(values) == 0 {
		s.say("%s", none)
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		s.say("%s = %s", k, values[k])
	}
	return nil
}

func (s *stepper) value(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.pretty(raw)
}

// result prints what the binding answered now and, beside it, then.
func (s *stepper) result(m *replay.Moment, _ string) error {
	if !m.Answered {
		s.say("now:  it was not called yet")
	} else {
		s.say("now:  %s", answerOf(m.Result, m.Err))
		s.details(m.Result)
	}
	s.say("then: %s", then(m))
	if m.Then != nil {
		s.details(m.Then.Result)
	}
	return nil
}

// details prints of a result what its few words leave out.
func (s *stepper) details(r *interceptor.Result) {
	if r == nil {
		return
	}
	if r.StatusCode != "" {
		s.say("        status %s", r.StatusCode)
	}
	for _, p := range r.Patches {
		s.say("        %s", patchLine(p))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Annotations)) {
		s.say("        note %s: %s", k, r.Annotations[k])
	}
	for _, w := range r.Warnings {
		s.say("        warning %s", w)
	}
}

func patchLine(p interceptor.Patch) string {
	return patch{Op: p.Op, Path: p.Path, From: p.From, Value: []byte(p.Value)}.String()
}

func (s *stepper) patches(m *replay.Moment, _ string) error {
	if !m.Answered {
		return errors.New("it was not called yet; `next` calls it")
	}
	if m.Result == nil || len(m.Result.Patches) == 0 {
		s.say("it answered no patches")
		return nil
	}
	for _, p := range m.Result.Patches {
		s.say("%s", patchLine(p))
	}
	if m.Evaluation.Payload == nil {
		return errNoPayload
	}
	after, err := m.Evaluation.Payload.Patched(m.Result.Patches)
	if err != nil {
		return fmt.Errorf("they cannot be applied: %w", err)
	}
	s.say("which makes of the payload:")
	return s.differences(m.Evaluation.Payload, after, "what it was")
}

func (s *stepper) operation(*replay.Moment, string) error {
	s.begin()
	s.say("began %s, plan %s", csvTime(s.op.Start.UnixMilli()), or(s.op.Plan, "not recorded"))
	if len(s.op.Labels) > 0 {
		s.say("labels:")
		return s.texts(s.op.Labels, "")
	}
	return nil
}

func (s *stepper) planned(*replay.Moment, string) error {
	var all []*interceptor.Binding
	for _, p := range s.steps {
		if !slices.ContainsFunc(all, func(b *interceptor.Binding) bool { return b == p.Binding }) {
			all = append(all, p.Binding)
		}
	}
	return s.value(all)
}

// where lists the bindings: those that were called with their decisions, and an
// arrow at the one that the replay is at.
func (s *stepper) where(m *replay.Moment, _ string) error {
	rows := make([][]string, 0, len(s.steps))
	for _, p := range s.steps {
		mark, now := "", ""
		if p.now == m {
			mark = "->"
		}
		switch {
		case p.now == nil:
		case !p.now.Answered:
			now = "(before)"
		case p.now.Err != nil:
			now = "failed"
		default:
			now = decisionOf(p.now.Result)
		}
		rows = append(rows, []string{mark, cli.Escape(nameOf(p.Interceptor, p.ID)), p.phase.String(), now, "then " + s.decidedThen(p)})
	}
	wide := widths(rows)
	for _, r := range rows {
		for i := range r[:len(r)-1] {
			r[i] = pad(r[i], wide[i])
		}
		s.say("%s", strings.Join(r, "  "))
	}
	return nil
}

// decidedThen is what the record says that a binding decided.
func (s *stepper) decidedThen(p *planStep) string {
	for i := range s.op.Evaluations {
		e := &s.op.Evaluations[i]
		if e.Interceptor != p.Interceptor || e.Binding != p.ID || e.Phase != p.phase {
			continue
		}
		switch {
		case e.Failure != nil:
			return "failed"
		case e.Result == nil:
			return "cut off"
		}
		return decisionOf(e.Result)
	}
	return "not called"
}

func decisionOf(r *interceptor.Result) string {
	switch {
	case r == nil:
		return "no result"
	case r.Decision == interceptor.Allow && len(r.Patches) > 0:
		return interceptor.Modify.String()
	}
	return r.Decision.String()
}

func (s *stepper) help(*replay.Moment, string) error {
	var rows [][]string
	for _, c := range stepCommands() {
		rows = append(rows, []string{strings.TrimSpace(c.letter + ", " + c.name + " " + c.args), c.does})
	}
	wide := widths(rows)
	for _, r := range rows {
		s.say("%s  %s", pad(r[0], wide[0]), r[1])
	}
	return nil
}

// jsonLines returns lines that say how one JSON value differs from another.
func jsonLines(before, after []byte) ([]string, error) {
	var x, y any
	for raw, v := range map[*[]byte]*any{&before: &x, &after: &y} {
		d := json.NewDecoder(bytes.NewReader(*raw))
		d.UseNumber()
		if err := d.Decode(v); err != nil {
			return nil, err
		}
	}
	return appendLines(nil, "", x, y), nil
}

func appendLines(out []string, at string, x, y any) []string {
	switch x := x.(type) {
	case map[string]any:
		if y, ok := y.(map[string]any); ok {
			names := slices.Collect(maps.Keys(x))
			for name := range y {
				if _, ok := x[name]; !ok {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			for _, name := range names {
				before, was := x[name]
				after, is := y[name]
				inner := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
				out = appendEither(out, inner, before, after, was, is)
			}
			return out
		}
	case []any:
		if y, ok := y.([]any); ok {
			for i := range max(len(x), len(y)) {
				inner := at + "/" + strconv.Itoa(i)
				switch {
				case i >= len(y):
					out = appendEither(out, inner, x[i], nil, true, false)
				case i >= len(x):
					out = appendEither(out, inner, nil, y[i], false, true)
				default:
					out = appendLines(out, inner, x[i], y[i])
				}
			}
			return out
		}
	}
	a, b := jsonText(x), jsonText(y)
	if a != b {
		out = append(out, "- "+at+" "+a, "+ "+at+" "+b)
	}
	return out
}

func appendEither(out []string, at string, x, y any, was, is bool) []string {
	switch {
	case was && is:
		return appendLines(out, at, x, y)
	case was:
		return append(out, "- "+at+" "+jsonText(x))
	}
	return append(out, "+ "+at+" "+jsonText(y))
}

func jsonText(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
