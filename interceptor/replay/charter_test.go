// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// service is what all methods of the world belong to.
const service = "demo.Boxes"

// A charter is a chain in plain data. It is read twice, by two that share nothing
// else: plan makes a plan of it, with interceptors that judge JSON, and settle (the
// model) says what it makes of an operation.
type charter struct {
	unmatched, audit string
	clauses          []clause
}

// A clause is a binding. What it leaves empty is as in a [interceptor.Binding].
type clause struct {
	who, id    string
	order      int32
	phases     []interceptor.Phase
	methods    []string // plain names; nil is all
	principals []string
	labels     map[string]string
	shadow     bool
	unlinked   bool // the candidate has no implementation of it
	policy     interceptor.FailurePolicy
	modify     interceptor.FailurePolicy
	post       interceptor.FailurePolicy
	maxPatches int
	maxBytes   int
	attributes []string
	reads      []string
	writes     []string
	capture    string
	hasty      bool // its timeout is too short for anything; replay is more patient
	rule
}

// A rule is what a clause does, by its name in does, and with what.
type rule struct {
	does string
	text string
	list []string
	n    int

	code, reason, note string

	// breaks says that it fails in a way (see broken) for boxes of the image when;
	// "*" is all.
	breaks, when string
}

func (c *clause) name() string { return c.who + "/" + c.id }

// change returns a copy of the charter with one clause changed.
func (c charter) change(name string, how func(*clause)) charter {
	c.clauses = slices.Clone(c.clauses)
	for i := range c.clauses {
		if c.clauses[i].name() == name {
			how(&c.clauses[i])
			return c
		}
	}
	panic("no clause " + name)
}

func (c charter) without(name string) charter {
	n := len(c.clauses)
	c.clauses = slices.DeleteFunc(slices.Clone(c.clauses), func(x clause) bool { return x.name() == name })
	if len(c.clauses) == n {
		panic("no clause " + name)
	}
	return c
}

func (c charter) with(more ...clause) charter {
	c.clauses = slices.Concat(c.clauses, more)
	return c
}

// swap gives two clauses each other's place.
func (c charter) swap(a, b string) charter {
	var first, second int32
	c = c.change(a, func(x *clause) { first = x.order })
	c = c.change(b, func(x *clause) { second, x.order = x.order, first })
	return c.change(a, func(x *clause) { x.order = second })
}

// A fault is what befell a binding while the history was recorded, and is none of
// its own doing; ok is false when nothing did.
type fault func(ctx context.Context, e *interceptor.Evaluation) (r *interceptor.Result, err error, ok bool)

// plan returns the charter as a plan, and a count of the calls of its interceptors.
func (c charter) plan(befalls fault) (*interceptor.Plan, *atomic.Int64) {
	calls := &atomic.Int64{}
	p := &interceptor.Plan{Unmatched: c.unmatched, Audit: c.audit}
	for i := range c.clauses {
		x := &c.clauses[i]
		b := interceptor.Binding{
			Interceptor: x.who, ID: x.id, Order: x.order, Phases: x.phases, Principals: x.principals, Labels: x.labels, Shadow: x.shadow,
			FailurePolicy: x.policy, ModifyPolicy: x.modify, PostCommitPolicy: x.post, MaxPatches: x.maxPatches, MaxResponseBytes: x.maxBytes,
			Attributes: x.attributes, Reads: x.reads, Writes: x.writes, Capture: x.capture,
			Settings: map[string]any{"does": x.does, "text": x.text, "n": x.n},
		}
		for _, m := range x.methods {
			b.RPCs = append(b.RPCs, service+"/"+m)
		}
		if x.hasty {
			b.Timeout = 1
		}
		if !x.unlinked {
			b.Impl = &clerk{rule: x.rule, befalls: befalls, calls: calls}
		}
		p.Bindings = append(p.Bindings, b)
	}
	return p, calls
}

// A clerk is the interceptor that keeps a rule.
type clerk struct {
	rule
	befalls fault
	calls   *atomic.Int64
}

func (c *clerk) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "clerk"}, nil
}

// seen is a box as its JSON form shows it.
type seen struct {
	Name, Image, Note, Template, Owner, Description string
	Size                                            int
	Tags                                            *[]string
	Locked                                          bool // of a state
}

func look(p *interceptor.Payload) (s seen) {
	raw, err := p.JSON()
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		panic(err)
	}
	return s
}

func (c *clerk) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	c.calls.Add(1)
	if c.befalls != nil {
		if r, err, ok := c.befalls(ctx, e); ok {
			return r, err
		}
	}
	s := look(e.Payload)
	if c.breaks != "" && (c.when == "*" || c.when == s.Image) {
		return broken(c.breaks)
	}
	return c.judge(e, s), nil
}

// broken is how interceptors fail.
func broken(how string) (*interceptor.Result, error) {
	switch how {
	case "timeout":
		return nil, &interceptor.Failure{Kind: interceptor.Timeout, Detail: "no answer"}
	case "deadline":
		return nil, status.Error(codes.DeadlineExceeded, "too slow")
	case "unavailable":
		return nil, status.Error(codes.Unavailable, "connection refused")
	case "exhausted":
		return nil, status.Error(codes.ResourceExhausted, "message too large")
	case "error":
		return nil, errors.New("cannot read settings")
	case "nothing":
		return nil, nil
	case "decision":
		return &interceptor.Result{Decision: 9}, nil
	case "patch":
		return patches(interceptor.Patch{Op: "remove", Path: "/nothing/there"}), nil
	case "patches":
		return patches(slices.Repeat([]interceptor.Patch{{Op: "add", Path: "/description", Value: []byte(`"x"`)}}, 40)...), nil
	case "scope":
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{"foreign": {"x": 1}}}, nil
	case "panic":
		panic("index out of range")
	}
	panic("no fault " + how)
}

// kinds says what kind of failure each fault is.
var kinds = map[string]interceptor.FailureKind{
	"timeout": interceptor.Timeout, "deadline": interceptor.Timeout, "unavailable": interceptor.Unavailable, "exhausted": interceptor.Limit,
	"error": interceptor.InvalidResult, "nothing": interceptor.InvalidResult, "decision": interceptor.InvalidResult, "patch": interceptor.InvalidResult,
	"patches": interceptor.Limit, "scope": interceptor.Scope, "panic": interceptor.Panic,
}

func patches(p ...interceptor.Patch) *interceptor.Result {
	return &interceptor.Result{Decision: interceptor.Modify, Patches: p}
}

func quoted(s string) []byte {
	raw, _ := json.Marshal(s)
	return raw
}

func (c *clerk) deny(code, reason string) *interceptor.Result {
	if c.code != "" {
		code = c.code
	}
	if c.reason != "" {
		reason = c.reason
	}
	return &interceptor.Result{Decision: interceptor.Deny, StatusCode: code, Reason: reason}
}

// judge answers by the rule's name.
func (c *clerk) judge(e *interceptor.Evaluation, s seen) *interceptor.Result {
	r := &interceptor.Result{Decision: interceptor.Allow}
	if c.note != "" {
		r.Annotations = map[string]string{"note": c.note}
	}
	if change := c.patch(e, s); len(change) > 0 {
		r.Decision, r.Patches = interceptor.Modify, change
		return r
	}
	score, _ := e.Metadata["risk"]["score"].(float64)
	switch c.does {
	case "list":
		switch {
		case s.Image == "sly:ok": // a deny that would be a success
			return &interceptor.Result{Decision: interceptor.Deny, StatusCode: "OK", Reason: "sly"}
		case s.Image == "sly:patch": // a deny beside patches
			return &interceptor.Result{Decision: interceptor.Deny, Patches: []interceptor.Patch{{Op: "remove", Path: "/size"}}, Reason: "sly"}
		case !slices.Contains(c.list, s.Image):
			return c.deny("PERMISSION_DENIED", fmt.Sprintf("image %q is not on the list", s.Image))
		}
	case "quota":
		if s.Size > c.n {
			return c.deny("RESOURCE_EXHAUSTED", fmt.Sprintf("%d is more than %d", s.Size, c.n))
		}
	case "score":
		r.Metadata = map[string]map[string]any{"risk": {"score": float64(s.Size * c.n), "from": e.Metadata["tenant"]["plan"]}}
		if s.Size > 9 {
			r.Warnings = []string{"large"}
		}
	case "demote":
		r.Metadata = map[string]map[string]any{"tenant": {"plan": c.text}}
	case "gate":
		if score > float64(c.n) {
			return c.deny("PERMISSION_DENIED", fmt.Sprintf("risk %v", score))
		}
		if e.Metadata["risk"]["from"] == "free" && s.Size > 3 {
			return c.deny("FAILED_PRECONDITION", "not in the free plan")
		}
	case "guard":
		if e.State != nil {
			if state := look(e.State); state.Locked || state.Size > s.Size {
				return c.deny("FAILED_PRECONDITION", "locked, or larger than that")
			}
		}
	case "agents":
		if e.Attributes["user_agent"] == c.text {
			return c.deny("PERMISSION_DENIED", "no bots")
		}
	case "names":
		if strings.HasPrefix(s.Name, c.text) {
			return c.deny("PERMISSION_DENIED", "no such names")
		}
	}
	return r
}

// patch returns what the rule makes otherwise.
func (c *clerk) patch(e *interceptor.Evaluation, s seen) []interceptor.Patch {
	if e.Phase != interceptor.ModifyOperation {
		return nil
	}
	lower := strings.ToLower(s.Name)
	switch c.does {
	case "lower":
		if lower != s.Name {
			return []interceptor.Patch{{Op: "replace", Path: "/name", Value: quoted(lower)}}
		}
	case "prefix":
		if lower == s.Name && !strings.HasPrefix(s.Name, c.text) {
			return []interceptor.Patch{{Op: "replace", Path: "/name", Value: quoted(c.text + s.Name)}}
		}
	case "defaults":
		if s.Tags == nil {
			return []interceptor.Patch{{Op: "add", Path: "/tags", Value: []byte("[]")}}
		}
	case "stamp":
		if s.Tags == nil || !slices.Contains(*s.Tags, c.text) {
			return []interceptor.Patch{{Op: "add", Path: "/tags/-", Value: quoted(c.text)}}
		}
	case "expand":
		if s.Template != "" {
			return []interceptor.Patch{{Op: "copy", From: "/template", Path: "/image"}, {Op: "remove", Path: "/template"}}
		}
	case "keep":
		if s.Note != "" && s.Description == "" {
			return []interceptor.Patch{{Op: "move", From: "/note", Path: "/description"}}
		}
	case "cap":
		if s.Size > c.n {
			return []interceptor.Patch{{Op: "replace", Path: "/size", Value: []byte(fmt.Sprint(c.n))}}
		}
	case "own":
		if s.Owner == "" {
			return []interceptor.Patch{{Op: "test", Path: "/name", Value: quoted(s.Name)}, {Op: "add", Path: "/owner", Value: quoted(e.Principal["subject"])}}
		}
	case "fill":
		if s.Image == c.text {
			return []interceptor.Patch{{Op: "add", Path: "/description", Value: quoted(strings.Repeat("x", 2*captureMax))}}
		}
	}
	return nil
}
