// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"crypto/sha256"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/secretwalk"
	"github.com/docket-audit/docket/ocsf"
)

func (w *writer) outcome(e *ocsf.APIActivity) {
	op, out := w.fact.Operation, w.fact.Outcome
	e.Metadata.EventCode = profile.KindOutcome
	e.API.Request = &ocsf.Request{UID: w.shared.uid}
	w.span(e, string(op.UID), w.shared.method, op.Start, out.End)
	e.ActionID, e.DispositionID = effect(out.Decision)
	code := codes.OK
	if out.Status != nil {
		code = out.Status.Code()
	}
	e.StatusID, e.StatusCode = ocsf.StatusSuccess, codeName(code)
	e.API.Response = w.response(code, out.Decision, out.Patches)
	e.API.Response.Data = w.bounded(e, e.API.Response.Data, w.config.CaptureMax)
	if code != codes.OK || out.Decision == interceptor.Deny {
		e.StatusID = ocsf.StatusFailure
		e.StatusDetail = clip(out.Reason)
		if out.Decision != interceptor.Deny {
			e.StatusDetail = clip(out.Status.Message())
		}
		e.API.Response.Error, e.API.Response.ErrorMessage = e.StatusCode, e.StatusDetail
	}
	if out.Decision == interceptor.Deny {
		e.SeverityID = ocsf.SeverityMedium
	}
	w.parts(e)
	own(e, ownPlan, w.digest)
	own(e, ownRan, out.Ran)
	own(e, ownDurable, op.Durable)
	if w.fact.Plan != nil && w.fact.Plan.Answer != "" {
		own(e, ownAnswer, text(w.fact.Plan.Answer))
	}
	if out.Ran {
		own(e, ownHandlerStatus, codeName(out.HandlerStatus.Code()))
	}
	if w.shared.principal != nil {
		own(e, ownPrincipal, w.shared.principal)
	}
	if a := attributesOf(op.Attributes); a != nil {
		own(e, ownAttributes, a)
	}
}

// parts writes each binding's part, and as the policy the one that denied.
func (w *writer) parts(e *ocsf.APIActivity) {
	out := w.fact.Outcome
	for _, p := range out.Parts {
		decision := p.Decision.String()
		switch {
		case p.Skipped != "":
			decision = decisionSkipped
			own(e, ownSkipped, clip(p.Skipped))
		case p.Failure != nil:
			decision = failedPrefix + p.Failure.Policy.String()
		}
		e.Authorizations = append(e.Authorizations, ocsf.Authorization{Decision: decision, Policy: w.policy(p.Interceptor, p.Binding, p.Phase)})
	}
	if by := out.By; by != nil {
		e.Policy = w.policy(by.Interceptor, by.Binding, by.Phase)
		e.Policy.Version, e.Policy.IsApplied = w.digest, new(by.Failure == nil)
	}
}

// response returns the response that says what was decided.
func (w *writer) response(code codes.Code, d interceptor.Decision, patches []interceptor.Patch) *ocsf.Response {
	data := map[string]any{"allowed": d != interceptor.Deny}
	if len(patches) > 0 {
		list := make([]any, len(patches))
		for i, p := range patches {
			list[i] = w.patch(p)
		}
		data["patches"] = list
	}
	return &ocsf.Response{Code: new(int64(code)), Data: data}
}

// patch writes one patch. A value that is for a secret, which the chain refuses
// to apply but a recorder may be told of, is not written.
func (w *writer) patch(p interceptor.Patch) map[string]any {
	m := map[string]any{"op": text(p.Op), "path": text(p.Path)}
	put(m, "from", text(p.From))
	if p.Value == nil {
		return m
	}
	if hidden(w.fact.Operation.Request, p.Path) {
		m["withheld"] = "secret"
		return m
	}
	value, err := ocsf.Canonicalize(p.Value)
	if err != nil {
		// Not JSON, or a number beyond it: kept as the text that it is.
		m["value_text"] = text(string(p.Value))
		return m
	}
	m["value"] = ocsf.Canonical(value)
	return m
}

// hidden says whether a JSON Pointer into m reaches a secret.
func hidden(m proto.Message, pointer string) bool {
	if m == nil {
		return false
	}
	md := m.ProtoReflect().Descriptor()
	if !secretwalk.Reaches(md) {
		return false
	}
	var tokens []string
	for t := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		tokens = append(tokens, strings.NewReplacer("~1", "/", "~0", "~").Replace(t))
	}
	if pointer == "" {
		tokens = nil
	}
	return secretwalk.Hides(md, tokens)
}

// bounded returns data, or its digest in its place when it is larger than limit
// in canonical form.
func (w *writer) bounded(e *ocsf.APIActivity, data any, limit int) any {
	m, ok := data.(map[string]any)
	if !ok || roughly(m) <= limit {
		return data
	}
	raw, err := ocsf.EncodeValue(m)
	if err == nil && len(raw) <= limit {
		return ocsf.Canonical(raw)
	}
	truncated(e, len(raw))
	return map[string]any{
		"allowed": m["allowed"], "digest": digest(sha256.Sum256(raw)).String(), "bytes": len(raw),
	}
}

// roughly bounds the encoded size of a response's data from above: no byte of a
// text takes more than six.
func roughly(v any) int {
	switch v := v.(type) {
	case string:
		return 2 + 6*len(v)
	case ocsf.Canonical:
		return len(v)
	case []string:
		n := 2
		for _, s := range v {
			n += 3 + 6*len(s)
		}
		return n
	case []any:
		n := 2
		for _, item := range v {
			n += 1 + roughly(item)
		}
		return n
	case map[string]string:
		n := 2
		for k, s := range v {
			n += 6 + 6*(len(k)+len(s))
		}
		return n
	case map[string]any:
		n := 2
		for k, item := range v {
			n += 4 + 6*len(k) + roughly(item)
		}
		return n
	default:
		return 24
	}
}
