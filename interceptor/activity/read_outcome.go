// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

func (r *reading) outcome() (*interceptor.Outcome, error) {
	if err := r.response(); err != nil {
		return nil, err
	}
	out := &interceptor.Outcome{Decision: r.decision(), Ran: r.out.Header.Ran, End: instant(r.whole(theEnd))}
	name, _ := r.text(theStatusCode)
	code, _ := codeNamed(name)
	detail, _ := r.text(theStatusDetail)
	out.Status = statusOf(code, detail)
	if out.Decision == interceptor.Deny {
		out.Reason = detail
	}
	if name, ok := r.text(theHandlerStatus); ok {
		if code, ok = codeNamed(name); !ok {
			code = codes.Unknown
		}
		said := detail
		if code == codes.OK {
			said = ""
		}
		out.HandlerStatus = statusOf(code, said)
	}
	var err error
	if out.Patches, err = r.patches(); err != nil {
		return nil, err
	}
	parts := r.place(theParts)
	for item := range r.items(parts) {
		p, err := r.part(item)
		if err != nil {
			return nil, err
		}
		if p.Skipped != "" {
			p.Skipped = or(r.skipped(&p), p.Skipped)
		}
		if out.Parts == nil {
			out.Parts = make([]interceptor.Part, 0, r.count(parts))
		}
		out.Parts = append(out.Parts, p)
	}
	if r.has(thePolicy) {
		by, _ := r.text(thePolicyName)
		binding, _ := r.text(thePolicyUID)
		of, _ := r.text(thePolicyType)
		for i := range out.Parts {
			p := &out.Parts[i]
			if p.Decision == interceptor.Deny && p.Interceptor == by && p.Binding == binding && policyType+p.Phase.String() == of {
				out.By = p
			}
		}
	}
	return out, nil
}

// statusOf is status.New, but for the one of most operations.
func statusOf(code codes.Code, message string) *status.Status {
	if code == codes.OK && message == "" {
		return statusOK
	}
	return status.New(code, message)
}

var statusOK = status.New(codes.OK, "")

// skipped returns why a binding was not called: one text for all, or a list.
func (r *reading) skipped(p *interceptor.Part) string {
	if !r.is(whatWasSkipped, '[') {
		why, _ := r.text(whatWasSkipped)
		return why
	}
	for item := range r.items(r.place(whatWasSkipped)) {
		if r.says(r.member(item, "interceptor"), p.Interceptor) && r.says(r.member(item, "binding"), p.Binding) && r.says(r.member(item, "phase"), p.Phase.String()) {
			why, _ := r.textAt(r.member(item, "why"))
			return why
		}
	}
	return ""
}

// part reads one binding's part, an authorization. Of a failure it knows the policy
// alone, and so what the chain makes of it.
func (r *reading) part(authorization int) (interceptor.Part, error) {
	policy := r.member(authorization, "policy")
	if policy == 0 || r.Kind(policy) != '{' {
		return interceptor.Part{}, errors.New("an authorization names no policy")
	}
	var p interceptor.Part
	var err error
	p.Interceptor, _ = r.textAt(r.member(policy, "name"))
	p.Binding, _ = r.textAt(r.member(policy, "uid"))
	phase, _ := r.textAt(r.member(policy, "type"))
	if p.Phase, err = phaseNamed(strings.TrimPrefix(phase, policyType)); err != nil {
		return p, err
	}
	decision, _ := r.textAt(r.member(authorization, "decision"))
	err = decided(&p, decision)
	return p, err
}

// decided sets what a part came to.
func decided(p *interceptor.Part, decision string) error {
	decision, p.Shadow = strings.CutPrefix(decision, shadowPrefix)
	if decision == decisionSkipped {
		p.Skipped = decisionSkipped
		return nil
	}
	decided := &p.Decision
	if p.Shadow {
		decided = &p.Would
	}
	policy, ok := strings.CutPrefix(decision, failedPrefix)
	if !ok {
		var err error
		*decided, err = decisionNamed(decision)
		return err
	}
	p.Failure = &interceptor.Failure{}
	if err := p.Failure.Policy.UnmarshalText([]byte(policy)); err != nil {
		return err
	}
	switch {
	case p.Failure.Policy == interceptor.FailOpen:
		*decided = interceptor.Allow
	case p.Failure.Policy == interceptor.Ignore && p.Shadow:
	default:
		*decided = interceptor.Deny
	}
	p.Failure.Decision = p.Decision
	return nil
}

// patches returns the patches in a response, and notes when one has lost its value.
func (r *reading) patches() ([]interceptor.Patch, error) {
	var patches []interceptor.Patch
	for item := range r.items(r.place(thePatches)) {
		if r.Kind(item) != '{' {
			return nil, errors.New("a patch is not an object")
		}
		var p interceptor.Patch
		p.Op, _ = r.textAt(r.member(item, "op"))
		p.Path, _ = r.textAt(r.member(item, "path"))
		p.From, _ = r.textAt(r.member(item, "from"))
		if v := r.member(item, "value"); v != 0 {
			raw, err := r.canonicalAt(v)
			if err != nil {
				return nil, fmt.Errorf("value of a patch: %w", err)
			}
			p.Value = raw
		} else if s := r.member(item, "value_text"); s != 0 && r.Kind(s) == '"' {
			text, _ := r.Text(s)
			p.Value = bytes.Clone(text)
		} else if w := r.member(item, "withheld"); w != 0 && r.Kind(w) != 'n' {
			r.out.Redacted = true
		}
		patches = append(patches, p)
	}
	return patches, nil
}
