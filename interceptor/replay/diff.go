// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"encoding/json"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
)

// A Comparison is how an operation compares with its record.
type Comparison string

// The comparisons, the gravest first. An operation is counted for one of them.
const (
	Erred             Comparison = "error"           // a binding failed now that did not then
	Flipped           Comparison = "flip"            // another decision, or the handler would run where it did not
	PatchesDiffer     Comparison = "patch_diff"      // the same decision with another patched payload
	StatusDiffers     Comparison = "status_diff"     // denied with another gRPC status, code or message
	FailureDiffers    Comparison = "failure_diff"    // another failure policy for what failed then, which came to the same
	AnnotationsDiffer Comparison = "annotation_diff" // the same with other annotations in the record
	Same              Comparison = "same"
	Unreplayable      Comparison = "unreplayable"
)

// A Diff is how one operation came out, against how it did then.
type Diff struct {
	Operation  string     `json:"operation"` // uid
	Tenant     string     `json:"tenant,omitempty"`
	Service    string     `json:"service"`
	Method     string     `json:"method"`
	Comparison Comparison `json:"comparison"`
	// From is the recorded decision, To the candidate's.
	From        string `json:"from,omitempty"`
	To          string `json:"to,omitempty"`
	Interceptor string `json:"interceptor,omitempty"`
	Binding     string `json:"binding,omitempty"` // that brings the difference about
	Reason      string `json:"reason,omitempty"`  // why it is unreplayable, or what the error is

	// First is the first binding that answered otherwise than it did, which need
	// not be the one that brings the difference about.
	First *Changed `json:"first,omitempty"`
	// Outcome is what became other in the outcome (decision, status, reason,
	// binding, whether the handler ran, the patched payload), as a JSON Patch (RFC
	// 6902) from then to now.
	Outcome []interceptor.Patch `json:"outcome,omitempty"`

	stratum stratumKey
	tally   tally
	noisy   []noiseKey
}

// A Changed is a binding that answered otherwise.
type Changed struct {
	Interceptor string              `json:"interceptor"`
	Binding     string              `json:"binding"`
	Phase       string              `json:"phase"`
	Answer      []interceptor.Patch `json:"answer"` // from its answer then to that of now; the whole when it was not called in one case
}

func (d *Diff) by(p *interceptor.Part) {
	if p != nil {
		d.Interceptor, d.Binding = p.Interceptor, p.Binding
	}
}

// explain fills in what changed.
func (c *comparing) explain(d *Diff) {
	d.Outcome = jsonDiff(c.told(c.then), c.told(c.now))
	for i := range c.now.answers {
		now := &c.now.answers[i]
		if now.Shadow {
			continue
		}
		if changed := changedAnswer(now, c.then.find(now), now); changed != nil {
			d.First = changed
			return
		}
	}
	for i := range c.then.answers {
		then := &c.then.answers[i]
		if then.Shadow || c.now.find(then) != nil {
			continue
		}
		d.First = changedAnswer(then, then, nil)
		return
	}
}

// told is an outcome as JSON.
func (c *comparing) told(t *take) []byte {
	o := t.outcome
	v := struct {
		Decision interceptor.Decision `json:"decision"`
		Ran      bool                 `json:"handler_ran"`
		Status   string               `json:"status,omitempty"`
		Reason   string               `json:"reason,omitempty"`
		By       string               `json:"by,omitempty"`
		Payload  json.RawMessage      `json:"payload,omitempty"`
	}{Decision: o.Decision, Ran: o.Ran, Reason: o.Reason}
	if o.Decision == interceptor.Deny {
		v.Status = codeName(o.Status.Code())
	}
	if o.By != nil {
		v.By = o.By.Interceptor + "/" + o.By.Binding
	}
	if c.op.Request != nil && o.Decision != interceptor.Deny && !t.truncated {
		if raw, err := patched(c.op, o.Patches); err == nil {
			v.Payload = raw
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return raw
}

// changedAnswer returns how a binding answers otherwise; nil when it does not.
func changedAnswer(who, then, now *answer) *Changed {
	patches := jsonDiff(then.told(), now.told())
	if len(patches) == 0 {
		return nil
	}
	return &Changed{Interceptor: who.Interceptor, Binding: who.Binding, Phase: who.Phase.String(), Answer: patches}
}

// told is an answer as JSON; null when there is none.
func (a *answer) told() []byte {
	type failed struct {
		Kind   interceptor.FailureKind   `json:"kind"`
		Policy interceptor.FailurePolicy `json:"policy,omitempty"`
	}
	v := struct {
		Decision    interceptor.Decision `json:"decision,omitempty"`
		Reason      string               `json:"reason,omitempty"`
		StatusCode  string               `json:"status_code,omitempty"`
		Patches     []interceptor.Patch  `json:"patches,omitempty"`
		Annotations map[string]string    `json:"log_annotations,omitempty"`
		Failure     *failed              `json:"failure,omitempty"`
	}{}
	switch {
	case a == nil:
		return []byte("null")
	case a.failure != nil:
		v.Failure = &failed{a.failure.Kind, a.failure.Policy}
	case a.result != nil:
		r := a.result
		v.Decision, v.Reason, v.StatusCode, v.Patches, v.Annotations = r.Decision, r.Reason, r.StatusCode, r.Patches, r.Annotations
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return raw
}

// String returns the difference in a few lines for people to read.
func (d *Diff) String() string {
	var b strings.Builder
	b.WriteString("operation " + d.Operation + ": " + d.headline() + "\n")
	if d.First != nil {
		b.WriteString("  first other answer: " + d.First.Interceptor + "/" + d.First.Binding + " in " + d.First.Phase + "\n")
		appendPatches(&b, d.First.Answer)
	}
	if len(d.Outcome) > 0 {
		b.WriteString("  outcome, from then to now:\n")
		appendPatches(&b, d.Outcome)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = profile.Printable(line)
	}
	return strings.Join(lines, "\n")
}

// headline says how the operation compares.
func (d *Diff) headline() string {
	var b strings.Builder
	switch d.Comparison {
	case Flipped:
		b.WriteString(d.From + " -> " + d.To)
	case StatusDiffers:
		b.WriteString("other status")
	case PatchesDiffer:
		b.WriteString("other patches")
	case FailureDiffers:
		b.WriteString("other failure policy")
	case AnnotationsDiffer:
		b.WriteString("other annotations")
	case Erred:
		b.WriteString(string(Erred))
		if d.From != d.To {
			b.WriteString(", " + d.From + " -> " + d.To)
		}
	default:
		b.WriteString(string(d.Comparison))
	}
	if d.Interceptor != "" {
		b.WriteString(" by " + d.Interceptor + "/" + d.Binding)
	}
	if d.Reason != "" {
		b.WriteString(": " + d.Reason)
	}
	return b.String()
}

// maxShown bounds a value among the patches that people are shown, in bytes.
const maxShown = 200

func appendPatches(b *strings.Builder, patches []interceptor.Patch) {
	for _, p := range patches {
		b.WriteString("    " + p.Op + " " + cmp.Or(p.Path, "the whole"))
		if p.Value != nil {
			value := string(p.Value)
			if len(value) > maxShown {
				value = strings.ToValidUTF8(value[:maxShown], "") + "..."
			}
			b.WriteString(" " + value)
		}
		b.WriteByte('\n')
	}
}

// codeName returns the name that gRPC's specification gives a code.
func codeName(c codes.Code) string { return code.Code(c).String() }
