// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"math"
	"strings"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/plans"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// usageInClickHouse is [usageStatement] for a server that has no EXISTS which looks
// outside, and whose joins want equal columns: what is known is a condition for each
// plan, which a row is asked only if it is of that.
func usageInClickHouse(gateway string, known []plans.Known) (statement string, ok bool) {
	type plan struct{ gateway, digest string }
	var order []plan
	explained := map[plan][]string{}
	for _, k := range known {
		p := plan{k.Gateway, k.Digest}
		if _, ok := explained[p]; !ok {
			order = append(order, p)
		}
		// Without an end it is behind every other.
		to := k.To
		if to == 0 {
			to = math.MaxInt64
		}
		between := fmt.Sprintf("(time >= %d AND time <= %d) OR ((_commit > %d OR (_commit = %[3]d AND _pos >= %[4]d))", k.From, to, k.Begin.Commit, k.Begin.Pos)
		if k.End != (store.Cursor{}) {
			between += fmt.Sprintf(" AND (_commit < %d OR (_commit = %[1]d AND _pos < %[2]d))", k.End.Commit, k.End.Pos)
		}
		explained[p] = append(explained[p], between+")")
	}
	text := filter.ClickHouse.Text
	var b strings.Builder
	fmt.Fprintf(&b, "SELECT emitter AS Gateway, plan_digest AS Digest, min(time) AS First, max(time) AS Last, min(_commit) AS Commit"+
		" FROM events WHERE kind = '%s' AND startsWith(plan_digest, 'sha256:')", profile.KindOutcome)
	if gateway != "" {
		b.WriteString(" AND emitter = " + text(gateway))
	}
	if len(order) > 0 {
		b.WriteString(" AND NOT multiIf(")
		for _, p := range order {
			fmt.Fprintf(&b, "emitter = %s AND plan_digest = %s, or(false, %s), ", text(p.gateway), text(p.digest), strings.Join(explained[p], ", "))
		}
		b.WriteString("false)")
	}
	fmt.Fprintf(&b, " GROUP BY emitter, plan_digest, epoch, intDiv(time, %d)", plans.Slice)
	return b.String(), b.Len() <= maxStatement
}
