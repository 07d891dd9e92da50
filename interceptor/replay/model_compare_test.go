// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor/replay"
)

// A finding is how an operation compares: what a [replay.Group] says of it.
type finding struct {
	comparison replay.Comparison
	from, to   string
	by         string // the binding that brings it about
	reason     string // the kind of an error
}

// compare says how a deed compares, whose record has what came of it then.
func (d *deed) compare(then, now *verdict) finding {
	whole := finding{comparison: replay.Same}
	changed := finding{from: then.decision, to: now.decision}
	switch {
	case d.cut > 0 || now.lost != "":
		return finding{comparison: replay.Unreplayable}
	case now.erred != "":
		changed.comparison, changed.by, changed.reason = replay.Erred, now.erred, now.kind
		return changed
	case then.circumstance: // no plan decided
		return whole
	case then.decision != now.decision || then.ran != now.ran:
		changed.comparison, changed.by = replay.Flipped, cmp.Or(now.by, then.by, editor(then, now))
		return changed
	case now.decision == "deny": // what was edited before came to nothing
		return whole
	case then.tooLarge:
		return finding{comparison: replay.Unreplayable}
	case !slices.Equal(then.edits, now.edits):
		changed.comparison, changed.by = replay.PatchesDiffer, editor(then, now)
		return changed
	}
	return whole
}

// editor returns the binding at which the edits begin to be others: one that edits
// now and did not then, else one that did and does not, else the one that has
// another edit or another place.
func editor(then, now *verdict) string {
	at := func(v *verdict, i int) string {
		if i < len(v.editors) {
			return v.editors[i]
		}
		return ""
	}
	for i := range max(len(then.editors), len(now.editors)) {
		was, is := at(then, i), at(now, i)
		switch {
		case was == is && slices.Equal(then.byWhom[was], now.byWhom[is]):
		case is != "" && then.byWhom[is] == nil:
			return is
		case was != "" && now.byWhom[was] == nil:
			return was
		default:
			return cmp.Or(is, was)
		}
	}
	return ""
}

// whole says whether all of the deed is in the record: everything that anybody was
// shown, and everything that was decided.
func (d *deed) whole(c *charter, then *verdict) bool {
	refused := d.refused != codes.OK && !then.judged() // nobody was shown anything
	large := len(d.box.note) > captureMax || d.redacted()
	large = large || d.state != nil && d.state.big || d.bigMetadata || then.tooLarge
	withheld := slices.ContainsFunc(c.clauses, func(x clause) bool {
		return x.capture != "" && slices.ContainsFunc(then.called, func(key string) bool { return key[:len(key)-len("@2")] == x.name() && !strings.HasSuffix(key, "@4") })
	})
	return d.cut == 0 && !large && !refused && !withheld
}
