// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// How well an evaluation can be replayed.
const (
	GradeFull    = "full"    // all that the binding was shown is in the record
	GradePartial = "partial" // the payload is, the current state is not
	GradeNone    = "none"    // the payload is not
)

// What api.request.data of an evaluation is made of.
const (
	dataProposed  = "proposed_operation"
	dataState     = "current_state"
	dataCommitted = "committed_response"

	dataSameAs      = "same_as"               // the payload is that of this evaluation
	dataStateSameAs = "current_state_same_as" // the state is that of this evaluation

	// In place of what is too large to be captured.
	suffixDigest = "_digest"
	suffixBytes  = "_bytes"
)

// What api.response.data is made of.
const (
	dataAllowed     = "allowed"
	dataAnnotations = "log_annotations"
	dataDynamic     = "dynamic_metadata" // that a result sets
	dataPatches     = "patches"
	dataReason      = "reason"
	dataStatusCode  = "status_code"
	dataWarnings    = "warnings"

	dataDigest = "digest" // of what is too large to be recorded
	dataBytes  = "bytes"  // its size
)

type digest [sha256.Size]byte

func (d digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// seen remembers what the evaluations of one operation were shown: not the
// payloads, only their digests.
type seen struct {
	payloads, states, metadata []shown
	room                       [2]shown // of payloads: one as it came, one as it was changed
}

// A shown is what an evaluation was the first to be shown.
type shown struct {
	digest digest
	by     interceptor.UID
}

// first returns the evaluation that was shown d first, and notes e when it is. An
// operation has few different payloads: there is nothing to be gained by a map.
func first(list *[]shown, d digest, e interceptor.UID) (interceptor.UID, bool) {
	for i := range *list {
		if (*list)[i].digest == d {
			return (*list)[i].by, true
		}
	}
	*list = append(*list, shown{d, e})
	return "", false
}

// forget forgets what an evaluation was shown whose event could not be written:
// no later one may point to it.
func (s *seen) forget(e *interceptor.Evaluation) {
	if e == nil {
		return
	}
	by := func(sh shown) bool { return sh.by == e.UID }
	for _, list := range []*[]shown{&s.payloads, &s.states, &s.metadata} {
		*list = slices.DeleteFunc(*list, by)
	}
}

// A capture is the input of one evaluation as it is recorded.
type capture struct {
	data       map[string]any
	grade, why string
	size       int // of what was left out, in bytes
}

// whyRedacted is why an input that was redacted is not the whole input.
const whyRedacted = "redacted"

// captured returns what is recorded of an evaluation's input.
func (w *writer) captured(d *draft, e *interceptor.Evaluation) capture {
	c := capture{data: d.data, grade: GradeFull}
	if w.op.seen.payloads == nil {
		w.op.seen.payloads = w.op.seen.room[:0]
	}
	name := dataProposed
	if e.Phase == interceptor.PostCommit {
		name = dataCommitted
	}
	mode, limit := w.capturing()
	switch {
	case e.Payload == nil:
		c.miss(GradeNone, "no payload")
	case mode == interceptor.CaptureNone:
		c.miss(GradeNone, "capture = "+mode)
	default:
		c.take(w, e.Payload, input{name, dataSameAs, GradeNone, &w.op.seen.payloads, e.UID, mode, limit})
	}
	if e.State != nil && mode != interceptor.CaptureNone {
		c.take(w, e.State, input{dataState, dataStateSameAs, GradePartial, &w.op.seen.states, e.UID, mode, limit})
	}
	return c
}

// capturing returns how much the record keeps of the binding's payloads.
func (w *writer) capturing() (mode string, limit int) {
	mode, limit = interceptor.CaptureFull, w.config.CaptureMax
	b := w.fact.Binding
	if b == nil {
		return mode, limit
	}
	if b.CaptureMax > 0 {
		limit = b.CaptureMax
	}
	return known(b.Capture), limit
}

// known returns how much is kept under a word of a plan; nothing under one that
// is not known here.
func known(capture string) string {
	switch capture {
	case "", interceptor.CaptureFull:
		return interceptor.CaptureFull
	case interceptor.CaptureDigest:
		return interceptor.CaptureDigest
	default:
		return interceptor.CaptureNone
	}
}

// An input is a payload or a state, and how it is recorded.
type input struct {
	name, sameAs string
	without      string // the grade without it
	seen         *[]shown
	uid          interceptor.UID
	mode         string
	limit        int
}

func (c *capture) take(w *writer, p *interceptor.Payload, in input) {
	raw, err := p.JSON()
	if err == nil {
		raw, err = w.redact.json(in.name, spot{walk: w.request().walk, md: p.Descriptor()}, raw)
	}
	if err != nil {
		// The error may quote the payload.
		c.miss(in.without, in.name+": "+w.redact.text(in.name, "", text(err.Error())))
		return
	}
	for _, pointer := range p.Dropped() {
		w.redact.add(note{at: in.name, pointer: pointer, rule: ruleDescriptor, do: RedactDrop}, 1)
	}
	switch {
	case w.redact.failed(in.name):
		c.miss(in.without, in.name+": "+failedText)
	case w.redact.of(in.name):
		c.miss(GradePartial, whyRedacted)
	}
	d := digest(sha256.Sum256(raw))
	if in.mode == interceptor.CaptureDigest || len(raw) > in.limit {
		c.data[in.name+suffixDigest], c.data[in.name+suffixBytes] = d.String(), len(raw)
		w.redact.unplace(in.name)
		if in.mode == interceptor.CaptureDigest {
			c.miss(in.without, in.name+": capture = "+in.mode)
			return
		}
		c.miss(in.without, fmt.Sprintf("%s: %d bytes; at most %d are captured", in.name, len(raw), in.limit))
		c.size += len(raw)
		return
	}
	if earlier, ok := first(in.seen, d, in.uid); ok {
		c.data[in.sameAs] = text(string(earlier))
		return
	}
	c.data[in.name] = ocsf.Canonical(raw)
}

// miss lowers the grade; none is the lowest.
func (c *capture) miss(grade, why string) {
	if c.grade != GradeNone {
		c.grade = grade
	}
	if c.why == why {
		return
	}
	if c.why != "" {
		c.why += "; "
	}
	c.why += why
}

// visible writes what of attributes and metadata the binding was granted: the
// names of the attributes, whose values the outcome tells, and the metadata.
func (w *writer) visible(e *draft, c *capture) {
	ev := w.fact.Evaluation
	if len(ev.Attributes)+len(ev.Metadata) > 0 {
		seen := map[string]any{}
		if len(ev.Attributes) > 0 {
			seen["attributes"] = w.names(atAttributes, ev.Attributes)
		}
		if len(ev.Metadata) > 0 {
			seen["namespaces"] = w.names(atMetadata, ev.Metadata)
			_, limit := w.capturing()
			c.metadata(w, e, limit)
		}
		e.own(ownVisible, seen)
	}
	if w.shared.redacted.of(atPrincipal) || len(ev.Attributes) > 0 && w.shared.redacted.of(atAttributes) || w.redact.of(atMetadata) {
		c.miss(GradePartial, whyRedacted)
	}
}

// metadata writes the namespaces that the binding was shown, or which evaluation
// was shown the same. Of namespaces that say "same_as" this is no text.
func (c *capture) metadata(w *writer, e *draft, limit int) {
	raw, err := w.namespaces(w.fact.Evaluation.Metadata)
	switch {
	case err != nil:
		c.miss(GradePartial, "metadata: no JSON form")
	case len(raw) > limit:
		c.miss(GradePartial, fmt.Sprintf("metadata: %d bytes; at most %d are captured", len(raw), limit))
		c.size += len(raw)
	default:
		if earlier, ok := first(&w.op.seen.metadata, sha256.Sum256(raw), w.fact.Evaluation.UID); ok {
			e.own(ownMetadata, map[string]any{dataSameAs: text(string(earlier))})
			return
		}
		e.own(ownMetadata, ocsf.Canonical(raw))
	}
}

// namespaces returns metadata as it is written, in canonical JSON.
func (w *writer) namespaces(m map[string]map[string]any) ([]byte, error) {
	raw, err := ocsf.EncodeValue(m)
	if err != nil {
		return nil, err
	}
	return w.redact.json(atMetadata, spot{}, raw)
}

// names returns the names in a map as they are written, sorted.
func (w *writer) names(at string, m any) []string {
	var names []string
	switch m := m.(type) {
	case map[string]string:
		names = slices.Collect(maps.Keys(m))
	case map[string]map[string]any:
		names = slices.Collect(maps.Keys(m))
	}
	silent := redacting{rules: w.redact.rules}
	for i, name := range names {
		names[i] = text(silent.text(at, "", name))
	}
	slices.Sort(names)
	return names
}
