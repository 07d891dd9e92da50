// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"crypto/sha256"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/secretwalk"
	"github.com/docket-audit/docket/ocsf"
)

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
	if value, err = x.patch(w.request(), p.Path, value); err != nil || value == nil {
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
		if r.reaches(w.request(), tokensOf(p.Path)) {
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

// keepsPayloads says whether the payload of an operation is in the record as it
// was, and so may its labels, which are a copy: if a binding of the plan captures
// it whole, of those that were called if any were.
func (w *writer) keepsPayloads() bool {
	if w.fact.Plan == nil || len(w.fact.Plan.Bindings) == 0 {
		return true
	}
	kept, called := false, false
	for i := range w.fact.Plan.Bindings {
		b := &w.fact.Plan.Bindings[i]
		full := known(b.Capture) == interceptor.CaptureFull
		if slices.ContainsFunc(w.fact.Outcome.Parts, func(p interceptor.Part) bool {
			return p.Skipped == "" && p.Interceptor == b.Interceptor && p.Binding == b.ID
		}) {
			if full {
				return true
			}
			called = true
		}
		kept = kept || full
	}
	return kept && !called
}

// hidden says whether a JSON Pointer into the request reaches a secret.
func (w *writer) hidden(pointer string) bool {
	of := w.request()
	return of.md != nil && of.walk.Reaches(of.md) && of.walk.Hides(of.md, tokensOf(pointer))
}

// request returns the spot of the operation's request, which patches are for.
func (w *writer) request() spot {
	s := spot{walk: secretwalk.Walk{Types: w.fact.Operation.Types}}
	if w.fact.Plan != nil {
		s.walk.Option = protowire.Number(w.fact.Plan.SecretOption)
	}
	if m := w.fact.Operation.Request; m != nil {
		s.md = m.ProtoReflect().Descriptor()
	}
	return s
}

// patch returns the value of a patch of what is at a spot as it is written; nil when
// it is left out.
func (x *redacting) patch(of spot, path string, value []byte) ([]byte, error) {
	if len(x.rules) == 0 {
		return value, nil
	}
	var v any
	if err := json.Unmarshal(value, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	v, keep := x.tree(atPatches, of, tokensOf(path), v)
	if !keep {
		return nil, nil
	}
	return ocsf.EncodeValue(v)
}

// reaches says whether one of the rule's pointers is at, above or below a place.
func (r *rule) reaches(of spot, place []string) bool {
	return slices.ContainsFunc(r.pointers, func(pattern []string) bool { _, ok := of.below(pattern, place); return ok })
}
