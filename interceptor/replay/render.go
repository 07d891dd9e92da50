// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A rendering is how the operations of a history become those of a cassette: they
// are recorded again, from what the record says of them and nothing else. So what
// is not a fact that replay reads is not in a cassette, whatever it was.
type rendering struct {
	config activity.Config // of the recorder: rules, the bound of what is captured, the schema
	// orderly names operations by their place, and gives each its second.
	orderly bool
}

// cassetteStart is when the operations of a cassette begin whose times are not
// kept: long ago, so that nobody takes them for times at which something happened.
var cassetteStart = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// A cue is one operation on its way into a cassette: from its events, what it is,
// and what is said in them beside the facts.
type cue struct {
	op      *activity.Operation
	margins map[marginKey]margin
}

// events returns the n-th operation's events, from 1, as they are sealed, but
// for their uids.
func (r *rendering) events(c cue, n int) ([]*ocsf.APIActivity, error) {
	s := copyist{rendering: r, cue: c, n: n}
	s.begin()
	if err := s.record(); err != nil {
		return nil, fmt.Errorf("write operation %s: %w", c.op.UID, err)
	}
	return s.written, nil
}

// A copyist writes one operation.
type copyist struct {
	*rendering
	cue
	n int

	again   *interceptor.Operation // without what is noise
	uids    map[interceptor.UID]interceptor.UID
	about   *activity.Evaluation // what is being recorded; nil for the outcome
	written []*ocsf.APIActivity
	err     error
}

// begin settles what the operation and its evaluations are called, and when they
// were. Nothing took any time: that is what differs from run to run.
func (s *copyist) begin() {
	op := s.op
	start := op.Start
	for i := range op.Evaluations {
		if start.IsZero() {
			start = op.Evaluations[i].Start
		}
	}
	uid := op.UID
	s.uids = map[interceptor.UID]interceptor.UID{}
	if s.orderly {
		start = cassetteStart.Add(time.Duration(s.n) * time.Second)
		uid = interceptor.UID(orderly(start.UnixMilli(), s.n, 0))
	} else if start.IsZero() {
		start = cassetteStart
	}
	for i := range op.Evaluations {
		e := &op.Evaluations[i]
		s.uids[e.UID] = e.UID
		if s.orderly {
			s.uids[e.UID] = interceptor.UID(orderly(start.UnixMilli(), s.n, i+1))
		}
	}
	s.again = &interceptor.Operation{
		UID: uid, Tenant: op.Tenant, Service: op.Service, Method: op.Method, Principal: op.Principal,
		Attributes: s.attributes(), Labels: op.Labels, Durable: op.Durable, Start: start,
	}
}

// attributes returns those that a binding was shown: the others are addresses and
// ports that nothing was decided by.
func (s *copyist) attributes() map[string]string {
	var shown map[string]string
	for i := range s.op.Evaluations {
		for name, value := range s.op.Evaluations[i].Attributes {
			if shown == nil {
				shown = map[string]string{}
			}
			shown[name] = value
		}
	}
	return shown
}

// record tells a recorder the facts once more.
func (s *copyist) record() error {
	rec := activity.NewRecorder(s.emit, func(c *activity.Config) {
		*c = activity.Config{
			Gateway: c.Gateway, Schema: s.config.Schema, CaptureMax: s.config.CaptureMax, Redactor: s.config.Redactor,
			Now: func() time.Time { return s.again.Start }, NewUID: func() string { return "" },
		}
	})
	outcome := func() {
		if s.op.Outcome == nil {
			return
		}
		s.about = nil
		o := *s.op.Outcome
		o.End = s.again.Start
		rec.Record(interceptor.Fact{Time: s.again.Start, Operation: s.again, Outcome: &o})
		if s.again.Durable {
			_ = rec.Barrier(context.Background(), s.again.UID) // what is emitted here is durable
		}
	}
	committed := false
	for i := range s.op.Evaluations {
		e := &s.op.Evaluations[i]
		if e.Phase == interceptor.PostCommit && !committed {
			committed = true
			outcome()
			after := *s.again
			after.Durable = false
			s.again = &after
		}
		s.about = e
		s.evaluation(rec, e)
	}
	if !committed {
		outcome()
	}
	return s.err
}

func (s *copyist) evaluation(rec *activity.Recorder, e *activity.Evaluation) {
	again := *e.Evaluation
	again.UID, again.Operation, again.Start, again.Trace, again.RequestID = s.uids[e.UID], s.again.UID, s.again.Start, trace.SpanContext{}, ""
	f := interceptor.Fact{
		Time: s.again.Start, Operation: s.again, Evaluation: &again,
		Binding: &interceptor.Binding{Interceptor: e.Interceptor, ID: e.Binding, Shadow: e.Shadow},
	}
	if e.Missing != notRecorded {
		rec.Record(f)
	}
	switch {
	case e.Result != nil:
		r := *e.Result
		r.End = s.again.Start
		f.Result = &r
		rec.Record(f)
	case e.Failure != nil:
		// How it failed is what a plan goes by. What the transport said has
		// addresses in it, or a stack.
		f.Failure = &interceptor.Failure{Kind: e.Failure.Kind, Policy: e.Failure.Policy, Decision: e.Failure.Decision, End: s.again.Start}
		rec.Record(f)
	}
}

// notRecorded is what [activity.Operations] says of an evaluation whose event
// does not come.
const notRecorded = "the evaluation event is not in the record"

type spooled struct{ err error }

func (s spooled) Spooled(context.Context) error { return s.err }

// emit takes the events that are facts.
func (s *copyist) emit(_ context.Context, e ocsf.Event) activity.Ack {
	if e.Common().Metadata.EventCode == profile.KindFinding {
		return spooled{}
	}
	if err := s.take(e); err != nil && s.err == nil {
		s.err = err
	}
	return spooled{s.err}
}

func (s *copyist) take(lent ocsf.Event) error {
	raw, err := ocsf.Encode(lent)
	if l, ok := lent.(activity.Lent); ok {
		l.Release()
	}
	if err != nil {
		return err
	}
	decoded, err := ocsf.Decode(raw)
	if err != nil {
		return err
	}
	e, ok := decoded.(*ocsf.APIActivity)
	if !ok {
		return fmt.Errorf("class %d: %w", decoded.Class(), activity.ErrNoFact)
	}
	if err := s.annotate(e); err != nil {
		return err
	}
	s.written = append(s.written, e)
	return nil
}

// annotate adds what the event told that was recorded first, and that a second
// recorder cannot know: the plan, and what is not in the record and why.
func (s *copyist) annotate(e *ocsf.APIActivity) error {
	own, err := objectOf(e.Unmapped[profile.Unmapped])
	if err != nil {
		return err
	}
	if own == nil {
		own = map[string]any{}
	}
	kind := e.Metadata.EventCode
	key := marginKey{kind: kind}
	if s.about != nil {
		key.evaluation = s.about.UID
	}
	m := s.margins[key]
	if e.Policy != nil {
		e.Policy.Version = s.op.Plan
	}
	switch kind {
	case profile.KindOutcome:
		own["plan"] = s.op.Plan
	case profile.KindEvaluation:
		s.grade(e, own, m)
	}
	if kind == profile.KindOutcome || kind == profile.KindResult {
		if err := m.answer(e); err != nil {
			return err
		}
	}
	if m.truncated {
		e.Metadata.IsTruncated, e.Metadata.UntruncatedSize = &m.truncated, max64(e.Metadata.UntruncatedSize, m.size)
	}
	m.redactions(own, s.config.Redactor != nil)
	if m.Broken != "" {
		own["broken"] = m.Broken
	}
	if len(own) > 0 {
		if e.Unmapped == nil {
			e.Unmapped = map[string]any{}
		}
		e.Unmapped[profile.Unmapped] = own
	}
	return nil
}

// grade says how well an evaluation can be replayed, and why not fully.
func (s *copyist) grade(e *ocsf.APIActivity, own map[string]any, m margin) {
	var why []string
	add := func(parts ...string) {
		for _, part := range parts {
			if part != "" && !slices.Contains(why, part) {
				why = append(why, part)
			}
		}
	}
	missing := s.about.Missing
	for was, is := range s.uids {
		missing = strings.ReplaceAll(missing, string(was), string(is))
	}
	add(strings.Split(missing, "; ")...)
	if slices.Contains(strings.Split(m.Replay.Why, "; "), whyRedacted) {
		add(whyRedacted)
	}
	grade := activity.GradeFull
	if now, ok := own["replay"].(map[string]any); ok {
		grade, _ = now["grade"].(string)
		text, _ := now["why"].(string)
		if parts := strings.Split(text, "; "); missing == "" || s.about.Payload != nil {
			add(parts...)
		} else {
			add(slices.DeleteFunc(parts, func(p string) bool { return p == "no payload" })...)
		}
	}
	switch {
	case s.about.Payload == nil:
		grade = activity.GradeNone
	case len(why) > 0 && grade == activity.GradeFull:
		grade = activity.GradePartial
	}
	if len(why) > 0 {
		own["replay"] = map[string]any{"grade": grade, "why": strings.Join(why, "; ")}
	}
	for i := range e.Metadata.Tags {
		if t := &e.Metadata.Tags[i]; t.Name == profile.TagReplayGrade {
			t.Value = grade
		}
	}
}

// whyRedacted is how an event says that its input is there, though redacted.
const whyRedacted = "redacted"

// unbounded is for what was captured within bounds before.
const unbounded = math.MaxInt
