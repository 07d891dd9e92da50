// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/docket-audit/docket/interceptor"
)

// A Value is a value and where it comes from: "FILE:LINE", "default",
// "manifest", or "unknown" where the manifest was not read.
type Value struct {
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// String gives "value (origin)".
func (v Value) String() string { return v.Value + " (" + v.Origin + ")" }

// unknown is a value that only a manifest can tell.
var unknown = Value{Value: "?", Origin: "unknown"}

// An Explanation says what a file means: who runs when, on what, within which
// limits, what a failure makes of the operation, and who said so.
type Explanation struct {
	File      string `json:"file"`
	Format    string `json:"format"` // "docket" or "openshell"
	Unmatched Value  `json:"unmatched"`
	Audit     Value  `json:"audit"`
	Deadline  Value  `json:"deadline"`
	Answer    Value  `json:"answer"`

	// Steps are in the order in which they run.
	Steps []Step `json:"steps"`

	// Unread names the interceptors whose manifest was not read. Of them only
	// what the file says is known.
	Unread   []string `json:"unread"`
	Warnings []string `json:"warnings"`
}

// A Step is one binding in one phase.
type Step struct {
	Phase            string   `json:"phase"`
	Interceptor      string   `json:"interceptor"`
	Endpoint         string   `json:"endpoint"` // "in process", or a URL
	Binding          Value    `json:"binding"`
	Phases           Value    `json:"phases"`  // all of the binding's
	Methods          []string `json:"methods"` // empty: every method
	MethodsOrigin    string   `json:"methods_origin"`
	FailurePolicy    Value    `json:"failure_policy"` // in this phase
	Order            Value    `json:"order"`
	Timeout          Value    `json:"timeout"`
	MaxResponseBytes Value    `json:"max_response_bytes"`
	MaxPatches       Value    `json:"max_patches"`

	order  int32
	number int // of the binding, over the whole file
}

// Explain reads a file without a network. Only interceptors that are linked in
// process with [Local], [Make] or [Link] are asked for their manifest; what the
// others would say is unknown. An error is one that [Load] would give too.
func Explain(path string, opts ...Option) (*Explanation, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read chain file: %w", err)
	}
	s, services, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	o := newOptions(opts)
	b := newBuilder(path, s, services)
	for _, svc := range services {
		impl, err := svc.local(o)
		switch {
		case err != nil:
		case impl != nil:
			err = b.add(context.Background(), svc, impl)
		case svc.endpoint == "":
			err = svc.errNoEndpoint()
		default:
			err = b.explanation.addUnread(svc)
		}
		if err != nil {
			return nil, err
		}
	}
	return b.explanation, nil
}

func newExplanation(name string, s settings) *Explanation {
	e := &Explanation{
		File: name, Format: "docket",
		Unmatched: Value{s.gateway.Unmatched, s.origins["unmatched"]},
		Audit:     Value{s.audit, s.origins["mode"]},
		Deadline:  Value{s.deadline.String(), s.origins["deadline"]},
		Answer:    Value{s.answer, s.origins["answer"]},
		Steps:     []Step{}, Unread: []string{}, Warnings: []string{},
	}
	if s.openShell {
		e.Format = "openshell"
	}
	if s.openShell && s.origins["unmatched"] == openShellRule {
		e.Warnings = append(e.Warnings, "methods that no binding selects pass ungoverned, as in OpenShell; [gateway] unmatched decides it in writing")
	}
	if s.wantsToken {
		e.Warnings = append(e.Warnings, "[openshell.gateway.gateway_jwt] is not used: interceptors are called without a token")
	}
	return e
}

// add explains one binding in force, phase by phase.
func (e *Explanation) add(s *service, r resolved) {
	number := len(e.Steps) // grows with each binding
	for _, phase := range r.Phases {
		step := s.step()
		step.Phase, step.number = phase.String(), number
		step.Binding = Value{r.ID, r.idOrigin}
		step.Phases = Value{phaseWords(r.Phases), r.phasesOrigin}
		step.Methods, step.MethodsOrigin = append([]string{}, r.RPCs...), r.rpcsOrigin
		step.FailurePolicy = Value{r.FailurePolicy.String(), r.policyOrigin}
		if phase == interceptor.PostCommit {
			step.FailurePolicy = Value{r.PostCommitPolicy.String(), r.postCommitOrigin}
		}
		e.Steps = append(e.Steps, step)
	}
	e.sort()
}

// addUnread explains what the file alone says of an interceptor.
func (e *Explanation) addUnread(s *service) error {
	e.Unread = append(e.Unread, s.name)
	for _, o := range s.overrides {
		if o.disabled {
			continue
		}
		r := s.binding(cmp.Or(o.id, unknown.Value))
		r.idOrigin, r.rpcsOrigin, r.phasesOrigin = unknown.Origin, unknown.Origin, unknown.Origin
		if o.id != "" {
			r.idOrigin = o.table.At("id")
		}
		if o.rpc != "" {
			r.RPCs, r.rpcsOrigin = []string{o.rpc}, o.selectorAt()
		}
		if o.phases == nil {
			e.addUnknown(s, r, o)
			continue
		}
		if o.rpc == "" {
			r.RPCs = []string{unknown.Value}
		}
		r.Phases, r.phasesOrigin = o.phases, o.table.At("phases")
		if err := s.choosePolicies(&r, o, nil, nil); err != nil {
			return err
		}
		if s.policy == dynamic {
			// Where the operator is silent the manifest may have a wish.
			r.policyOrigin, r.postCommitOrigin = orManifest(r.policyOrigin), orManifest(r.postCommitOrigin)
		}
		e.add(s, r)
	}
	if s.policy == dynamic {
		r := s.binding(unknown.Value)
		r.idOrigin, r.rpcsOrigin = unknown.Origin, unknown.Origin
		e.addUnknown(s, r, nil)
	}
	return nil
}

func orManifest(origin string) string {
	if origin == originDefault {
		return "default, unless the manifest says otherwise"
	}
	return origin
}

// addUnknown explains a binding whose phases only the manifest knows.
func (e *Explanation) addUnknown(s *service, r resolved, o *override) {
	step := s.step()
	step.Phase, step.number = unknown.Value, len(e.Steps)
	step.Binding, step.Phases = Value{r.ID, r.idOrigin}, unknown
	step.Methods, step.MethodsOrigin = append([]string{}, r.RPCs...), r.rpcsOrigin
	if len(r.RPCs) == 0 {
		step.Methods = []string{unknown.Value}
	}
	step.FailurePolicy = unknown
	if said, origin := first(s.operatorStatements(o), 0); said.policy != 0 {
		step.FailurePolicy = Value{said.policy.String(), origin}
	}
	e.Steps = append(e.Steps, step)
	e.sort()
}

// step is what an interceptor's table says about each of its bindings.
func (s *service) step() Step {
	t := s.table
	value := func(key, text string) Value {
		if t.Has(key) {
			return Value{text, t.At(key)}
		}
		return Value{text, originDefault}
	}
	return Step{
		Interceptor: s.name, Endpoint: cmp.Or(s.endpoint, "in process"), order: t.Order,
		Order:            value("order", strconv.Itoa(int(t.Order))),
		Timeout:          value("timeout", s.timeout.String()),
		MaxResponseBytes: value("max_response_bytes", strconv.Itoa(s.maxResponseBytes)),
		MaxPatches:       value("max_patches", strconv.Itoa(s.maxPatches)),
	}
}

// sort puts the steps into the order in which they run; those of an unknown
// phase come first.
func (e *Explanation) sort() {
	rank := []string{unknown.Value, interceptor.ModifyOperation.String(), interceptor.Validate.String(), interceptor.PostCommit.String()}
	slices.SortStableFunc(e.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.Phase), slices.Index(rank, b.Phase)), cmp.Compare(a.order, b.order), cmp.Compare(a.number, b.number))
	})
}

// said writes a value and its origin; the file's own lines without its name.
func (e *Explanation) said(v Value) string {
	if line, ok := strings.CutPrefix(v.Origin, e.File+":"); ok {
		v.Origin = "line " + line
	}
	return v.String()
}

// WriteTo writes the explanation for people.
func (e *Explanation) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "%s (%s format)\n", e.File, e.Format)
	fmt.Fprintf(&buf, "methods that no binding selects: %s\naudit: %s, deadline %s, then %s\n\n", e.said(e.Unmatched), e.said(e.Audit), e.said(e.Deadline), e.said(e.Answer))
	if len(e.Steps) == 0 {
		buf.WriteString("no binding is in force\n")
	} else {
		table := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PHASE\tINTERCEPTOR\tBINDING\tON\tIF IT FAILS\tTIMEOUT\tORDER\tAT")
		for _, s := range e.Steps {
			on := Value{cmp.Or(strings.Join(s.Methods, " "), "every method"), s.MethodsOrigin}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Phase, s.Interceptor, e.said(s.Binding), e.said(on),
				e.said(s.FailurePolicy), e.said(s.Timeout), e.said(s.Order), s.Endpoint)
		}
		if err := table.Flush(); err != nil {
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
