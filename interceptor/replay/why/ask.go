// SPDX-License-Identifier: Apache-2.0

package why

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// maxWords bounds what of a reason is looked through for what it speaks of.
const maxWords = 4 << 10

// A verdict is what came of one request.
type verdict struct {
	missing  string // why it could not be asked; then the rest is empty
	decision interceptor.Decision
	status   codes.Code
	reason   string
	words    string            // the reason, cut where it is long
	by       *interceptor.Part // nil when no binding denied
	parts    []interceptor.Part
	failed   bool // a binding failed that did not for the recorded request
}

func verdictOf(out *interceptor.Outcome, missing string) *verdict {
	v := &verdict{missing: missing}
	if missing != "" || out == nil {
		return v
	}
	v.decision, v.reason, v.status = out.Decision, out.Reason, out.Status.Code()
	v.words = v.reason[:min(len(v.reason), maxWords)]
	v.parts = slices.Clone(out.Parts)
	if out.By != nil {
		by := *out.By
		v.by = &by
	}
	return v
}

// allowed says whether the whole chain let the request pass, and not because
// something broke.
func (v *verdict) allowed() bool {
	return v.missing == "" && !v.failed && (v.decision == interceptor.Allow || v.decision == interceptor.Modify)
}

// same says whether two verdicts differ in nothing but their words.
func (v *verdict) same(w *verdict) bool {
	return v.missing == w.missing && v.decision == w.decision && v.status == w.status && samePart(v.by, w.by)
}

func samePart(p, q *interceptor.Part) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.Interceptor == q.Interceptor && p.Binding == q.Binding && p.Phase == q.Phase
}

// part returns what a binding had to do with it; nil for nothing.
func (v *verdict) part(of *interceptor.Part) *interceptor.Part {
	i := slices.IndexFunc(v.parts, func(p interceptor.Part) bool { return samePart(&p, of) })
	if i < 0 {
		return nil
	}
	return &v.parts[i]
}

// relents says whether a binding that denied has nothing against it any more.
func (v *verdict) relents(by *interceptor.Part) bool {
	if v.missing != "" {
		return false
	}
	p := v.part(by)
	switch {
	case p == nil || p.Failure != nil:
		return false
	case p.Skipped != "":
		return unselected(p)
	}
	return p.Decision != interceptor.Deny
}

// unselected says whether a binding was not called because it does not select the
// operation.
func unselected(p *interceptor.Part) bool { return strings.HasPrefix(p.Skipped, "selector:") }

// An inquiry asks one operation with different requests.
type inquiry struct {
	stage   *replay.Stage
	op      *activity.Operation
	request *structpb.Struct // as it was
	budget  int
	tries   int
	stopped string // why it is over
	fails   []interceptor.Part
	known   map[string]*verdict // by the edits
}

// Why an inquiry is over.
const (
	outOfBudget = "budget"
	outOfTime   = "time"
)

// left is how often may still be asked.
func (q *inquiry) left() int { return q.budget - q.tries }

// ask asks with the edits made. It returns nil when the inquiry is over.
func (q *inquiry) ask(ctx context.Context, edits ...edit) *verdict {
	key := keyOf(edits)
	if v := q.known[key]; v != nil {
		return v
	}
	v := q.again(ctx, edits)
	if v != nil {
		q.known[key] = v
	}
	return v
}

// again asks although it may have been asked before.
func (q *inquiry) again(ctx context.Context, edits []edit) *verdict {
	if q.stopped == "" && ctx.Err() != nil {
		q.stopped = outOfTime
	}
	if q.stopped == "" && q.left() <= 0 {
		q.stopped = outOfBudget
	}
	if q.stopped != "" {
		return nil
	}
	q.tries++
	v := verdictOf(q.stage.Ask(ctx, q.op, apply(q.request, edits)))
	if ctx.Err() != nil {
		q.stopped = outOfTime
		return nil // what was asked may have been cut short
	}
	for i := range v.parts {
		p := &v.parts[i]
		if p.Failure != nil && !p.Shadow && !slices.ContainsFunc(q.fails, func(f interceptor.Part) bool { return samePart(&f, p) }) {
			v.failed = true
		}
	}
	return v
}

func keyOf(edits []edit) string {
	keys := make([]string, len(edits))
	for i := range edits {
		keys[i] = edits[i].key()
	}
	slices.Sort(keys)
	return strings.Join(keys, "\x02")
}
