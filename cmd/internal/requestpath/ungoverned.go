// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

const (
	// statement is how often what passed ungoverned is stated.
	statement = time.Minute
	// settling bounds the wait for a statement to be on stable storage.
	settling = 5 * time.Second
)

func (p *Path) stateUngoverned(ctx context.Context) {
	tick := time.NewTicker(statement)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.state(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// state emits how many calls passed ungoverned since the last statement that is
// recorded, per method: of one that was refused, the next says it again.
func (p *Path) state(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	if !p.settled(ctx) {
		return
	}
	now := p.passed()
	since, totals := map[string]any{}, map[string]any{}
	sum := int64(0)
	for method, n := range now {
		if d := n - p.stated[method]; d > 0 {
			since[method], totals[method] = d, n
			sum += d
		}
	}
	if sum == 0 {
		return
	}
	p.pending, p.then = p.emit(context.WithoutCancel(ctx), ungoverned(since, totals, sum, p.chain.Plan().Digest(), time.Now())), maps.Clone(now)
	p.settled(ctx)
}

// settled finds out what became of the last statement. It reports false while
// nobody knows: saying its calls again could count them twice.
func (p *Path) settled(ctx context.Context) bool {
	if p.pending == nil {
		return true
	}
	err := p.pending.Spooled(ctx)
	if err != nil && ctx.Err() != nil {
		return false
	}
	if err == nil {
		p.stated = p.then
	} else {
		p.log.Warn("a statement about ungoverned calls was not recorded; the next one covers it", "error", err)
	}
	p.pending, p.then = nil, nil
	return true
}

// ungoverned states calls that no binding looked at, by method: those since the
// last statement, and all since the start, so that a gap would show.
func ungoverned(since, totals map[string]any, sum int64, plan string, now time.Time) ocsf.Event {
	return &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleOther, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActivityName: "Ungoverned calls", Time: now.UnixMilli(), SeverityID: ocsf.SeverityInformational,
			Message:  fmt.Sprintf("%s of %s passed ungoverned", counted(sum, "call"), counted(int64(len(since)), "method")),
			Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"ungoverned": since, "ungoverned_total": totals, "plan": plan}},
		},
	}
}

// counted says how many there are: "1 call", "2 calls".
func counted(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}
