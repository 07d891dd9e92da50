// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

func (r *reading) outcome() (*interceptor.Outcome, error) {
	data, err := r.responseData()
	if err != nil {
		return nil, err
	}
	out := &interceptor.Outcome{Decision: decisionOf(r.ActionID), Ran: r.header.Ran, End: instant(r.EndTime)}
	code, _ := codeNamed(r.StatusCode)
	out.Status = status.New(code, r.StatusDetail)
	if out.Decision == interceptor.Deny {
		out.Reason = r.StatusDetail
	}
	if name, ok := r.own[ownHandlerStatus].(string); ok {
		if code, ok = codeNamed(name); !ok {
			code = codes.Unknown
		}
		out.HandlerStatus = status.New(code, "")
		if code != codes.OK {
			out.HandlerStatus = status.New(code, r.StatusDetail)
		}
	}
	if out.Patches, err = r.patches(data); err != nil {
		return nil, err
	}
	for _, a := range r.Authorizations {
		p, err := partOf(a)
		if err != nil {
			return nil, err
		}
		if p.Skipped != "" {
			p.Skipped = or(r.skipped(&p), p.Skipped)
		}
		out.Parts = append(out.Parts, p)
	}
	if by := r.Policy; by != nil {
		for i := range out.Parts {
			p := &out.Parts[i]
			if p.Decision == interceptor.Deny && p.Interceptor == by.Name && p.Binding == by.UID && policyType+p.Phase.String() == by.Type {
				out.By = p
			}
		}
	}
	return out, nil
}

// skipped returns why a binding was not called: one text for all, or a list.
func (r *reading) skipped(p *interceptor.Part) string {
	list, ok := r.own[ownSkipped].([]any)
	if !ok {
		why, _ := r.own[ownSkipped].(string)
		return why
	}
	for _, item := range list {
		m, _ := item.(map[string]any)
		if m["interceptor"] == p.Interceptor && m["binding"] == p.Binding && m["phase"] == p.Phase.String() {
			why, _ := m["why"].(string)
			return why
		}
	}
	return ""
}

// partOf reads one binding's part. Of a failure it knows the policy alone, and
// so what the chain makes of it.
func partOf(a ocsf.Authorization) (interceptor.Part, error) {
	if a.Policy == nil {
		return interceptor.Part{}, errors.New("an authorization names no policy")
	}
	p := interceptor.Part{Interceptor: a.Policy.Name, Binding: a.Policy.UID}
	if err := p.Phase.UnmarshalText([]byte(strings.TrimPrefix(a.Policy.Type, policyType))); err != nil {
		return p, err
	}
	var decision string
	decision, p.Shadow = strings.CutPrefix(a.Decision, shadowPrefix)
	if decision == decisionSkipped {
		p.Skipped = decisionSkipped
		return p, nil
	}
	decided := &p.Decision
	if p.Shadow {
		decided = &p.Would
	}
	policy, ok := strings.CutPrefix(decision, failedPrefix)
	if !ok {
		return p, decided.UnmarshalText([]byte(decision))
	}
	p.Failure = &interceptor.Failure{}
	if err := p.Failure.Policy.UnmarshalText([]byte(policy)); err != nil {
		return p, err
	}
	switch {
	case p.Failure.Policy == interceptor.FailOpen:
		*decided = interceptor.Allow
	case p.Failure.Policy == interceptor.Ignore && p.Shadow:
	default:
		*decided = interceptor.Deny
	}
	p.Failure.Decision = p.Decision
	return p, nil
}

// patches returns the patches in a response, and notes when one has lost its value.
func (r *reading) patches(data map[string]any) ([]interceptor.Patch, error) {
	list, _ := data["patches"].([]any)
	var patches []interceptor.Patch
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("a patch is not an object")
		}
		var p interceptor.Patch
		p.Op, _ = m["op"].(string)
		p.Path, _ = m["path"].(string)
		p.From, _ = m["from"].(string)
		if v, ok := m["value"]; ok {
			raw, err := ocsf.EncodeValue(v)
			if err != nil {
				return nil, fmt.Errorf("value of a patch: %w", err)
			}
			p.Value = raw
		} else if s, ok := m["value_text"].(string); ok {
			p.Value = []byte(s)
		} else if m["withheld"] != nil {
			r.out.Redacted = true
		}
		patches = append(patches, p)
	}
	return patches, nil
}
