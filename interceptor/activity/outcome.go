// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"crypto/sha256"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

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
			e.StatusDetail = clip(w.redact.text(atDetail, "", out.Status.Message()))
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
	if w.shared.attributes != nil {
		own(e, ownAttributes, w.shared.attributes)
	}
	if w.shared.labels != nil {
		own(e, ownLabels, w.shared.labels)
	}
}

// parts writes each binding's part, and as the policy the one that denied.
func (w *writer) parts(e *ocsf.APIActivity) {
	out := w.fact.Outcome
	var skipped []any // of them all
	alike := true
	for _, p := range out.Parts {
		decision := p.Decision.String()
		switch {
		case p.Skipped != "":
			decision = decisionSkipped
			why := clip(p.Skipped)
			if len(skipped) > 0 {
				before, _ := skipped[0].(map[string]any)
				alike = alike && before["why"] == why
			}
			skipped = append(skipped, map[string]any{"interceptor": text(p.Interceptor), "binding": text(p.Binding), "phase": p.Phase.String(), "why": why})
		case p.Failure != nil:
			decision = failedPrefix + p.Failure.Policy.String()
		case p.Shadow:
			decision = p.Would.String()
		}
		if p.Shadow {
			decision = shadowPrefix + decision
		}
		e.Authorizations = append(e.Authorizations, ocsf.Authorization{Decision: decision, Policy: w.policy(p.Interceptor, p.Binding, p.Phase)})
	}
	switch {
	case len(skipped) == 0:
	case alike: // mostly because of one deny
		first, _ := skipped[0].(map[string]any)
		own(e, ownSkipped, first["why"])
	default:
		own(e, ownSkipped, skipped)
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
// to apply but a recorder may be told of, is not written, and neither is one that
// a rule leaves out or a binding's capture does.
func (w *writer) patch(p interceptor.Patch) map[string]any {
	x := &w.redact
	m := map[string]any{"op": text(p.Op), "path": text(x.text(atPatches, "", p.Path))}
	put(m, "from", text(x.text(atPatches, "", p.From)))
	if p.Value == nil {
		return m
	}
	capture := w.patchCapture()
	if capture == interceptor.CaptureNone {
		m["withheld"] = "capture"
		return m
	}
	if w.hidden(p.Path) {
		m["withheld"] = "secret"
		return m
	}
	value, err := ocsf.Canonicalize(p.Value)
	if err != nil {
		// Not JSON, or a number beyond it: kept as the text that it is, which no
		// pointer finds its way in.
		w.patchText(m, p)
		return m
	}
	if value, err = x.patch(p.Path, value); err != nil || value == nil {
		m["withheld"] = whyRedacted
		return m
	}
	if capture == interceptor.CaptureDigest {
		m["withheld"], m["value_digest"] = "capture", digest(sha256.Sum256(value)).String()
		return m
	}
	m["value"] = ocsf.Canonical(value)
	return m
}

func (w *writer) patchText(m map[string]any, p interceptor.Patch) {
	for _, r := range w.redact.rules {
		if r.reaches(tokensOf(p.Path)) {
			w.redact.add(note{at: atPatches, rule: r.name, do: RedactDrop}, 1)
			m["withheld"] = whyRedacted
			return
		}
	}
	s := w.redact.text(atPatches, "", text(string(p.Value)))
	if w.patchCapture() == interceptor.CaptureDigest {
		m["withheld"], m["value_digest"] = "capture", digest(sha256.Sum256([]byte(s))).String()
		return
	}
	m["value_text"] = s
}

// reaches says whether one of the rule's pointers is at, above or below a place.
func (r *rule) reaches(place []string) bool {
	return slices.ContainsFunc(r.pointers, func(pattern []string) bool { _, ok := below(pattern, place); return ok })
}

// patch returns the value of a patch as it is written; nil when it is left out.
func (x *redacting) patch(path string, value []byte) ([]byte, error) {
	if len(x.rules) == 0 {
		return value, nil
	}
	var v any
	if err := json.Unmarshal(value, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	v, keep := x.tree(atPatches, tokensOf(path), v)
	if !keep {
		return nil, nil
	}
	return ocsf.EncodeValue(v)
}

// patchCapture returns how much is kept of patches: of an outcome's, which are of
// several bindings, as little as of the strictest one's that made any.
func (w *writer) patchCapture() string {
	if w.fact.Outcome == nil || w.fact.Plan == nil {
		mode, _ := w.capturing()
		return mode
	}
	strictest := interceptor.CaptureFull
	for i := range w.fact.Plan.Bindings {
		b := &w.fact.Plan.Bindings[i]
		mode := known(b.Capture)
		if mode == interceptor.CaptureFull || strictest == interceptor.CaptureNone {
			continue
		}
		if slices.ContainsFunc(w.fact.Outcome.Parts, func(p interceptor.Part) bool {
			return p.Decision == interceptor.Modify && p.Interceptor == b.Interceptor && p.Binding == b.ID
		}) {
			strictest = mode
		}
	}
	return strictest
}

// hidden says whether a JSON Pointer into the request reaches a secret.
func (w *writer) hidden(pointer string) bool {
	m := w.fact.Operation.Request
	if m == nil {
		return false
	}
	walk := secretwalk.Walk{Types: w.fact.Operation.Types}
	if w.fact.Plan != nil {
		walk.Option = protowire.Number(w.fact.Plan.SecretOption)
	}
	md := m.ProtoReflect().Descriptor()
	return walk.Reaches(md) && walk.Hides(md, tokensOf(pointer))
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
