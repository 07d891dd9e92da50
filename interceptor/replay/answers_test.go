// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"github.com/docket-audit/docket/interceptor/replay"
)

// answering is changes of what callers are answered and of what is noted, which
// make no other difference.
var answering = []amendment{
	{"status code of a deny", to("images/list", func(x *clause) { x.code = "NOT_FOUND" }), differs(replay.StatusDiffers)},
	{"reason of a deny", to("images/list", func(x *clause) { x.rule.reason = "ask for another image" }), differs(replay.StatusDiffers)},
	{"status code and reason of one that may fail", to("quota/limit", func(x *clause) { x.code, x.rule.reason = "ABORTED", "too large" }), differs(replay.StatusDiffers)},
	{"another denies for another reason", func(c charter) charter { return c.swap("images/list", "risk/gate") }, differs(replay.StatusDiffers)},
	{"annotation changed", to("risk/score", func(x *clause) { x.note = "scored by another" }), differs(replay.AnnotationsDiffer)},
	{"annotation removed", to("naming/lower", func(x *clause) { x.note = "" }), differs(replay.AnnotationsDiffer)},
	{"annotation added", to("state/guard", func(x *clause) { x.note = "guarded" }), differs(replay.AnnotationsDiffer)},
	{"annotation of a shadow", to("trial/stamp", func(x *clause) { x.note = "shadow" }), nil},
}

// answers says how a deed compares in what its caller is answered and in what was
// noted, where it compares as the same otherwise.
func (f finding) answers(then, now *verdict) finding {
	if f.comparison != replay.Same || then.circumstance {
		return f
	}
	changed := finding{from: then.decision, to: now.decision}
	if then.decision == "deny" && (then.code != now.code || then.reason != now.reason) {
		changed.comparison, changed.by = replay.StatusDiffers, now.by
		return changed
	}
	for _, key := range now.called { // a failure of the record, under another policy
		was, handled := then.handled[key]
		is, handles := now.handled[key]
		if then.failed[key] != "" && handled && handles && was != is {
			changed.comparison, changed.by = replay.FailureDiffers, key[:len(key)-len("@2")]
			return changed
		}
	}
	for _, key := range now.called { // whose notes are compared where both were called
		was, answered := then.notes[key]
		is, answers := now.notes[key]
		if answered && answers && was != is {
			changed.comparison, changed.by = replay.AnnotationsDiffer, key[:len(key)-len("@2")]
			return changed
		}
	}
	return f
}
