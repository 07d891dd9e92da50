// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/plans"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// maxPeriods bounds how many times in which plans were in force are sent at once:
// a gateway that is reloaded every hour has as many in a year.
const maxPeriods = 10_000

type tooManyPeriods struct{ error }

func (tooManyPeriods) Unwrap() error { return ErrTooMuch }
func (tooManyPeriods) Hint() string  { return "name a gateway, or say since and until" }

// ListPlans implements [auditv1.AuditServiceServer].
func (s *service) ListPlans(ctx context.Context, r *auditv1.ListPlansRequest) (*auditv1.ListPlansResponse, error) {
	// A plan governs all tenants and may name them.
	if _, err := authz.FromContext(ctx).View([]string{profile.TenantDocket}, nil); err != nil {
		return nil, err
	}
	// The operations that tell of plans too are those that the caller may see.
	view, err := authz.FromContext(ctx).View(nil, nil)
	if err != nil {
		return nil, err
	}
	q := plans.Query{Gateway: r.GetGateway(), AsOf: s.cfg.Commits(), Sees: view.Sees}
	if q.Since, q.Until, err = bounds(r); err != nil {
		return nil, err
	}
	q.Usage = func(ctx context.Context, known []plans.Known) ([]plans.Usage, error) {
		used, counted, err := s.usageInSQL(ctx, q, view, known)
		if err == nil && !counted {
			used, err = plans.Scan(ctx, s.cfg.Store, q, known)
		}
		return used, err
	}
	leave, err := s.scans.enter(ctx, authz.FromContext(ctx))
	if err != nil {
		return nil, err
	}
	defer leave()
	var periods []plans.Period
	if q.AsOf > 0 { // else nothing is stored, and 0 would be whatever is by then
		if periods, err = plans.Read(ctx, s.cfg.Store, q); err != nil {
			return nil, err
		}
	}
	if len(periods) > maxPeriods {
		return nil, tooManyPeriods{fmt.Errorf("plans were in force at %d times, and at most %d are told at once", len(periods), maxPeriods)}
	}
	resp := &auditv1.ListPlansResponse{}
	for i := range periods {
		resp.Plans = append(resp.Plans, inForce(&periods[i]))
	}
	if q.Gateway == "" && q.Since.IsZero() && q.Until.IsZero() {
		if err := s.addUntold(ctx, resp); err != nil {
			return nil, err
		}
	}
	if err := s.describe(ctx, resp.Plans); err != nil {
		return nil, err
	}
	sent(ctx, len(resp.Plans))
	return resp, nil
}

// bounds reads the times of a request, as those of events are read.
func bounds(r *auditv1.ListPlansRequest) (since, until time.Time, err error) {
	for _, b := range []struct {
		field string
		given *timestamppb.Timestamp
		to    *time.Time
	}{{"since", r.GetSince(), &since}, {"until", r.GetUntil(), &until}} {
		ms, err := milliseconds(b.field, b.given)
		if err != nil {
			return since, until, err
		}
		if ms != 0 {
			*b.to = time.UnixMilli(ms)
		}
	}
	if !until.IsZero() && !since.Before(until) {
		return since, until, invalidf("until", "it is not after since")
	}
	return since, until, nil
}

func inForce(p *plans.Period) *auditv1.PlanInForce {
	out := &auditv1.PlanInForce{Digest: p.Digest, Gateway: p.Gateway, From: instant(p.From.UnixMilli()), Began: p.Began, Ended: p.Ended, Event: p.Event}
	if !p.Until.IsZero() {
		out.Until = instant(p.Until.UnixMilli())
	}
	return out
}

// addUntold adds the plans that are kept and that no event tells of.
func (s *Server) addUntold(ctx context.Context, resp *auditv1.ListPlansResponse) error {
	if s.cfg.Plans == nil {
		return nil
	}
	kept, err := s.cfg.Plans(ctx)
	if err != nil {
		return err
	}
	told := map[string]bool{}
	for _, p := range resp.GetPlans() {
		told[p.GetDigest()] = true
	}
	slices.Sort(kept)
	for _, digest := range kept {
		if digest = "sha256:" + digest; !told[digest] {
			resp.Plans = append(resp.Plans, &auditv1.PlanInForce{Digest: digest})
		}
	}
	return nil
}

// describe says of plans what they themselves say.
func (s *Server) describe(ctx context.Context, list []*auditv1.PlanInForce) error {
	type plan struct {
		kept     bool
		bindings int32
	}
	known := map[string]plan{}
	for _, p := range list {
		of, seen := known[p.GetDigest()]
		if !seen {
			raw, err := s.plan(ctx, strings.TrimPrefix(p.GetDigest(), "sha256:"))
			switch {
			case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrUnsupported):
			case err != nil:
				return err
			default:
				var said struct {
					Bindings []json.RawMessage `json:"bindings"`
				}
				_ = json.Unmarshal(raw, &said) // what is damaged is for `docket verify` to tell
				of = plan{true, int32(min(len(said.Bindings), math.MaxInt32))}
			}
			known[p.GetDigest()] = of
		}
		p.Kept, p.Bindings = of.kept, of.bindings
	}
	return nil
}

// maxStatement bounds a statement, in bytes: one of 64 KiB is refused. What is known
// beyond it, of some thousand times in which plans were in force, is for a scan.
const maxStatement = 60 << 10

// usageInSQL is [plans.Scan] by the database that answers queries, if there is one.
func (s *Server) usageInSQL(ctx context.Context, q plans.Query, view authz.View, known []plans.Known) (used []plans.Usage, counted bool, err error) {
	write := usageStatement
	if s.cfg.dialect() == filter.ClickHouse {
		write = usageInClickHouse
	}
	statement, ok := write(q.Gateway, known)
	if s.cfg.Query == nil || !ok {
		return nil, false, nil
	}
	rows := bytes.NewBufferString("[")
	sep := ""
	err = s.cfg.Query(ctx, Question{SQL: statement, View: view, At: q.AsOf}, func([]string) error { return nil }, &lineWriter{each: func(line []byte) {
		rows.WriteString(sep)
		rows.Write(line)
		sep = ","
	}})
	if errors.Is(err, ErrUnsupported) { // as without cgo
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	rows.WriteByte(']')
	var found []struct {
		Gateway, Digest string
		First, Last     int64
		Commit          uint64
	}
	if err := json.Unmarshal(rows.Bytes(), &found); err != nil {
		return nil, false, err
	}
	for _, f := range found {
		used = append(used, plans.Usage{Gateway: f.Gateway, Digest: f.Digest, First: f.First, Last: f.Last, Commit: f.Commit})
	}
	return used, true, nil
}

// usageStatement selects what [plans.Scan] does: the outcomes that no row of known
// explains, those of an hour of an epoch in one. It is false where there is too
// much of it, or a name that is no text in SQL.
func usageStatement(gateway string, known []plans.Known) (statement string, ok bool) {
	named := func(name string) bool { return !strings.ContainsRune(name, 0) }
	if !named(gateway) || slices.ContainsFunc(known, func(k plans.Known) bool { return !named(k.Gateway) }) {
		return "", false
	}
	var b strings.Builder
	explained := ""
	if len(known) > 0 {
		writeKnown(&b, known)
		explained = ` AND NOT EXISTS (SELECT 1 FROM known k JOIN names n ON k.name = n.name WHERE n.emitter = e.emitter AND n.digest = e.plan_digest AND (
			e.time BETWEEN k.from_time AND k.to_time
			OR (e._commit > k.begin_commit OR e._commit = k.begin_commit AND e._pos >= k.begin_pos)
			AND (e._commit < k.end_commit OR e._commit = k.end_commit AND e._pos < k.end_pos)))`
	}
	fmt.Fprintf(&b, `SELECT emitter AS Gateway, plan_digest AS Digest, min(time) AS First, max(time) AS Last, min(_commit) AS Commit
		FROM events e WHERE kind = '%s' AND starts_with(plan_digest, 'sha256:')%s`, profile.KindOutcome, explained)
	if gateway != "" {
		b.WriteString(" AND emitter = " + quoted(gateway))
	}
	fmt.Fprintf(&b, " GROUP BY emitter, plan_digest, epoch, time // %d", plans.Slice)
	return b.String(), b.Len() <= maxStatement
}

// writeKnown writes what is known as tables: names are of gateways and plans.
func writeKnown(b *strings.Builder, known []plans.Known) {
	type plan struct{ gateway, digest string }
	numbers := map[plan]int{}
	var names, rows []string
	for _, k := range known {
		p := plan{k.Gateway, k.Digest}
		if _, ok := numbers[p]; !ok {
			numbers[p] = len(numbers)
			names = append(names, fmt.Sprintf("(%d, %s, %s)", numbers[p], quoted(k.Gateway), quoted(k.Digest)))
		}
		// Without an end it is behind every other.
		to, end := k.To, k.End
		if to == 0 {
			to = math.MaxInt64
		}
		if end == (store.Cursor{}) {
			end.Commit = math.MaxInt64
		}
		rows = append(rows, fmt.Sprintf("(%d,%d,%d,%d,%d,%d,%d)", numbers[p], k.From, to, k.Begin.Commit, k.Begin.Pos, end.Commit, end.Pos))
	}
	fmt.Fprintf(b, "WITH names(name, emitter, digest) AS (VALUES %s), known(name, from_time, to_time, begin_commit, begin_pos, end_commit, end_pos) AS (VALUES %s) ",
		strings.Join(names, ", "), strings.Join(rows, ","))
}

// quoted is a string of SQL.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
