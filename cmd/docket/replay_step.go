// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// addStep gives the verb that replays the flag that steps through one operation.
func addStep(c *cobra.Command, s *settings) {
	var uid string
	c.Flags().StringVar(&uid, "step", "", "step through the operation with this `UID`, or of this event or evaluation: commands on standard input, help lists them")
	all := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("step") {
			return all(c, args)
		}
		var other string
		c.Flags().Visit(func(f *pflag.Flag) {
			if !slices.Contains([]string{"step", "chain", "data", "color"}, f.Name) {
				other = f.Name
			}
		})
		if other != "" {
			return cli.Usage(cli.Hint(fmt.Errorf("--step and --%s exclude each other", other), "with --step go --chain and --data: one operation is stepped through"))
		}
		chain, err := c.Flags().GetString("chain")
		if err != nil {
			return err
		}
		return runStep(c.Context(), stepOptions{
			dir: s.data, uid: uid, chain: chain, stdin: c.InOrStdin(), stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(),
		})
	}
}

type stepOptions struct {
	dir, uid, chain string
	stdin           io.Reader
	stdout, stderr  io.Writer
}

// untimed is how long a binding may take while somebody looks at it: the time at
// the prompt counts as the binding's.
const untimed = 30 * 24 * time.Hour

// runStep steps through one operation.
func runStep(ctx context.Context, o stepOptions) error {
	k, err := openCase(ctx, o.dir, o.uid, o.chain, o.stderr)
	if err != nil {
		return err
	}
	defer k.close()
	if k.noPlan != nil {
		return k.noPlan
	}
	plan := *k.plan
	plan.Bindings = slices.Clone(plan.Bindings)
	for i := range plan.Bindings {
		plan.Bindings[i].Timeout = untimed
	}
	s := newStepper(o, k.op, k.plan)
	s.begin()
	_, err = replay.Run(ctx, given(eachOf(k.events)), &plan, replay.Observe(s.observe), replay.Each(s.end))
	switch {
	case errors.Is(err, errAborted) || ctx.Err() != nil:
		s.say("aborted")
		return s.failed
	case err != nil:
		return err
	}
	return s.failed
}

var errAborted = errors.New("aborted")

// A stepper shows an operation on its way through a plan, binding by binding, and
// does what it is told. It is called by the goroutine that calls the bindings.
type stepper struct {
	in      *lineReader
	out     io.Writer
	prompt  string // "" when nobody types
	colours bool
	failed  error // of out

	op    *activity.Operation
	steps []*planStep

	running bool // to the next breakpoint; else to the next stop
	breaks  []breakpoint
	denier  *replay.Moment // that denies now
}

// A planStep is a binding of the plan in one phase.
type planStep struct {
	*interceptor.Binding
	phase interceptor.Phase
	now   *replay.Moment // nil until it is called
}

func newStepper(o stepOptions, op *activity.Operation, plan *interceptor.Plan) *stepper {
	s := &stepper{in: newLineReader(o.stdin), out: o.stdout, colours: cli.Colours(o.stdout), op: op, steps: stepsOf(op, plan)}
	if cli.IsTerminal(o.stdin) && cli.IsTerminal(o.stdout) {
		s.prompt = "(step) "
	}
	return s
}

// stepsOf returns the bindings that a plan calls for an operation, unless it is
// denied before or they do not select it, in the order of the chain.
func stepsOf(op *activity.Operation, plan *interceptor.Plan) []*planStep {
	ordered := *plan
	if c, err := interceptor.New(plan, interceptor.Discard); err == nil { // else the replay says what is wrong with it
		ordered = *c.Plan()
	}
	var steps []*planStep
	for _, phase := range []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit} {
		for i := range ordered.Bindings {
			b := &ordered.Bindings[i]
			one := interceptor.Plan{Bindings: []interceptor.Binding{*b}}
			if slices.Contains(b.Phases, phase) && one.Governs(op.Service, op.Method) {
				steps = append(steps, &planStep{Binding: b, phase: phase})
			}
		}
	}
	return steps
}

// step returns the step that a moment is of.
func (s *stepper) step(m *replay.Moment) *planStep {
	e := m.Evaluation
	for _, p := range s.steps {
		if p.Interceptor == e.Interceptor && p.ID == e.Binding && p.phase == e.Phase {
			return p
		}
	}
	return nil
}

// say prints a line. What is wrong with the output is found out once.
func (s *stepper) say(format string, args ...any) { s.paint(0, format, args...) }

// paint prints a line in a colour, where colours are wanted.
func (s *stepper) paint(c cli.Colour, format string, args ...any) {
	text := cli.Escape(fmt.Sprintf(format, args...))
	if c != 0 && s.colours {
		text = fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, text)
	}
	if _, err := fmt.Fprintln(s.out, text); err != nil && s.failed == nil {
		s.failed = err
	}
}

func colourOf(m *replay.Moment) cli.Colour {
	switch {
	case m.Err != nil || m.Result != nil && m.Result.Decision == interceptor.Deny:
		return cli.Red
	case m.Result != nil && len(m.Result.Patches) > 0:
		return cli.Yellow
	}
	return 0
}

// block prints lines of JSON.
func (s *stepper) block(text string) {
	if _, err := fmt.Fprintln(s.out, cli.EscapeJSON(text)); err != nil && s.failed == nil {
		s.failed = err
	}
}

// begin says what is stepped through.
func (s *stepper) begin() {
	s.say("operation %s: %s/%s of %s%s", s.op.UID, s.op.Service, s.op.Method, or(s.op.Tenant, defaultTenant), byWhom(s.op.Principal))
	s.say("then: %s", outcomeThen(s.op))
}

// outcomeThen says what the record has become of an operation.
func outcomeThen(op *activity.Operation) string {
	out := op.Outcome
	if out == nil {
		return "the record has no outcome of it"
	}
	said := out.Decision.String()
	if out.By != nil {
		said += " by " + nameOf(out.By.Interceptor, out.By.Binding) + " in " + out.By.Phase.String()
	}
	if out.Reason != "" {
		said += ": " + out.Reason
	}
	return said
}

func nameOf(interceptorName, id string) string { return interceptorName + "/" + id }

// observe is called right before and right after each call of a binding.
func (s *stepper) observe(ctx context.Context, m *replay.Moment) error {
	if p := s.step(m); p != nil {
		p.now = m
	}
	if m.Answered && s.denier == nil && !m.Shadow && s.denies(m) {
		s.denier = m
	}
	if s.running && (m.Answered || !s.breaksAt(m)) {
		return nil
	}
	s.running = false
	s.arrive(m)
	return s.interact(ctx, m)
}

// denies says whether an answer denies the operation.
func (s *stepper) denies(m *replay.Moment) bool {
	if m.Evaluation.Phase == interceptor.PostCommit {
		return false
	}
	if m.Err == nil {
		return m.Result != nil && m.Result.Decision == interceptor.Deny
	}
	p := s.step(m)
	if p == nil {
		return false
	}
	policy := p.FailurePolicy
	if p.phase == interceptor.ModifyOperation && p.ModifyPolicy != 0 {
		policy = p.ModifyPolicy
	}
	return policy != interceptor.FailOpen
}

// arrive says where the replay has stopped.
func (s *stepper) arrive(m *replay.Moment) {
	e := m.Evaluation
	where := nameOf(e.Interceptor, e.Binding) + " in " + e.Phase.String()
	if m.Shadow {
		where += " (shadow)"
	}
	if !m.Answered {
		s.say("before %s, %d of %d", where, e.Index+1, e.Count)
		if p := s.step(m); p != nil && p.Impl == nil {
			s.say("  it has no implementation here: it is answered for from the record")
		}
		return
	}
	s.paint(colourOf(m), "after %s: %s", where, answerOf(m.Result, m.Err))
	s.say("  %s", originOf(m))
}

// originOf says where an answer comes from.
func originOf(m *replay.Moment) string {
	switch m.From {
	case replay.Linked:
		return "re-executed in this process"
	case replay.Dialled:
		return "re-executed by its service"
	case replay.FromRecord:
		return "answered from the record"
	}
	return "nobody could answer"
}

// answerOf puts an answer into a few words.
func answerOf(r *interceptor.Result, err error) string {
	var f *interceptor.Failure
	switch {
	case errors.As(err, &f):
		return "failed, " + f.Error()
	case err != nil:
		return "failed, " + err.Error()
	case r == nil:
		return "no result"
	case r.Reason != "":
		return r.Decision.String() + ": " + r.Reason
	case len(r.Patches) > 0:
		return fmt.Sprintf("%s, %s", interceptor.Modify, counted(len(r.Patches), "patch", "patches"))
	}
	return r.Decision.String()
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// then is what the record has as the answer of a binding.
func then(m *replay.Moment) string {
	switch t := m.Then; {
	case t == nil:
		return "it was not called"
	case t.Failure != nil:
		return answerOf(nil, t.Failure)
	case t.Result == nil:
		return "its answer is not in the record"
	default:
		return answerOf(t.Result, nil)
	}
}

// end says how the operation came out.
func (s *stepper) end(d replay.Diff) {
	s.say("end of the operation")
	s.say("then: %s", outcomeThen(s.op))
	now := d.To
	switch {
	case d.Comparison == replay.Unreplayable:
		now = "it cannot be replayed: " + d.Reason
	case now == interceptor.Deny.String() && s.denier != nil:
		e := s.denier.Evaluation
		now += " by " + nameOf(e.Interceptor, e.Binding) + " in " + e.Phase.String()
		if r := s.denier.Result; r != nil && r.Reason != "" {
			now += ": " + r.Reason
		} else if s.denier.Err != nil {
			now += ": " + answerOf(nil, s.denier.Err)
		}
	}
	s.say("now:  %s", now)
	for line := range strings.SplitSeq(d.String(), "\n") {
		s.say("%s", line)
	}
}

// A breakpoint stops before the bindings that it names.
type breakpoint struct {
	name, binding string // of the interceptor and "", or of either
	phase         string // "" is any
	text          string
}

// parseBreakpoint reads INTERCEPTOR/BINDING, INTERCEPTOR or BINDING, and :PHASE.
func (s *stepper) parseBreakpoint(text string) (breakpoint, error) {
	b := breakpoint{text: text}
	var name string
	name, b.phase, _ = strings.Cut(text, ":")
	b.name, b.binding, _ = strings.Cut(name, "/")
	if !slices.ContainsFunc(s.steps, func(p *planStep) bool { return b.at(p.Interceptor, p.ID, p.phase) }) {
		return b, fmt.Errorf("no binding of this operation is %s; `where` lists them", text)
	}
	return b, nil
}

func (b *breakpoint) at(name, id string, phase interceptor.Phase) bool {
	switch {
	case b.phase != "" && b.phase != phase.String():
		return false
	case b.binding == "":
		return b.name == name || b.name == id
	}
	return b.name == name && b.binding == id
}

func (s *stepper) breaksAt(m *replay.Moment) bool {
	e := m.Evaluation
	return slices.ContainsFunc(s.breaks, func(b breakpoint) bool { return b.at(e.Interceptor, e.Binding, e.Phase) })
}

// A lineReader reads lines without keeping anybody who stops waiting.
type lineReader struct {
	r     *bufio.Reader
	lines chan line
}

type line struct {
	text string
	err  error
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReader(r), lines: make(chan line, 1)}
}

// read returns the next line. A read from a terminal cannot be called off: when
// ctx ends first it goes on until the terminal does, which is when the process ends.
func (l *lineReader) read(ctx context.Context) (string, error) {
	go func() {
		text, err := l.r.ReadString('\n')
		if text != "" {
			err = nil // the end is found with the next one
		}
		l.lines <- line{text, err}
	}()
	select {
	case got := <-l.lines:
		return strings.TrimSpace(got.text), got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
