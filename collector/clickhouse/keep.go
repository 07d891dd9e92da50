// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/retention"
)

// A Change is one of how long events are kept, that the writer of a store has made or
// was not to make.
type Change struct {
	// Before is what was in force, After what [Options].Retention says.
	Before, After retention.Policy
	// Refused says that Before stays in force, as After keeps some events for a shorter
	// time: Shorter are the rules by which it would. See [Options].Shorten.
	Refused bool
	Shorter []retention.Rule
}

// Changed returns what became of how long events are kept when s became the writer of
// the store; nil where that was as it shall be.
func (s *Store) Changed() *Change {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.change
}

// A Trouble is what somebody should look at, while everything goes on.
type Trouble struct {
	What string `json:"what"`
	Hint string `json:"hint"`
}

// Troubles returns those of a store that is written to.
func (s *Store) Troubles() (all []Trouble) {
	if c := s.Changed(); c != nil && c.Refused {
		all = append(all, Trouble{
			fmt.Sprintf("events are kept as before, %s: the configuration says %s, by which some would leave earlier", c.Before, c.After),
			"if that is meant, start docket up once with --shorten-retention; if not, configure what was",
		})
	}
	if t, ok := s.clocks(); ok {
		all = append(all, t)
	}
	return all
}

// keep gives the events the TTL of the policy of s, if they have another. Only the
// writer does: one who stands by may be configured otherwise, and it is not for them
// to say. What was deleted does not come back, so that nothing is kept for a shorter
// time than it was unless that is said in so many words.
func (s *Store) keep(ctx context.Context) error {
	want := s.opts.Retention
	next, err := ttl(want)
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	// What was set is remembered: the server words it its own way.
	var have string
	var rows uint64
	if err := s.query(ctx, "SELECT argMax(ttl, set), count() FROM "+evidence.TableRetention, func(scan func(...any) error) error { return scan(&have, &rows) }); err != nil {
		return fmt.Errorf("read retention: %w", err)
	}
	var change *Change
	before, err := parseTTL(have)
	switch {
	case rows > 0 && have == next, rows > 0 && s.opts.KeepRetention:
		s.keeps(before, err == nil, nil)
		return nil
	case rows > 0 && err == nil:
		change = &Change{Before: before, After: want, Shorter: shorter(&before, &want)}
		if change.Refused = len(change.Shorter) > 0 && !s.opts.Shorten; change.Refused {
			s.log.Warn("events are kept as before: as configured, some would be kept for a shorter time", "before", before.String(), "configured", want.String())
			s.keeps(before, true, change)
			return nil
		}
	}
	// Of two who have just become the writer, one has not any more.
	if err := s.current(ctx); err != nil {
		return err
	}
	alter := "MODIFY TTL " + next
	if next == "" {
		alter = "REMOVE TTL"
	}
	err = s.exec(ctx, nil, "ALTER TABLE "+s.altered(evidence.TableEvents)+" "+alter)
	if refused := new(clickhouse.Exception); next == "" && errors.As(err, &refused) && refused.Code == 36 {
		err = nil // it has none
	}
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	if err := s.exec(ctx, nil, "INSERT INTO "+evidence.TableRetention+" (set, ttl) SELECT now64(6), "+text(next)); err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	if change != nil {
		s.log.Warn("changed how long events are kept", "before", before.String(), "after", want.String())
	} else {
		s.log.Info("set how long events are kept", "after", want.String())
	}
	s.keeps(want, true, change)
	return nil
}

// keeps notes how long events are kept, as far as that is known.
func (s *Store) keeps(p retention.Policy, known bool, change *Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.change = nil, change
	if known {
		s.kept = &p
	}
}

// shorter returns the rules of a policy by which events leave earlier than by the one
// before it.
func shorter(before, after *retention.Policy) (rules []retention.Rule) {
	// Of tenants and classes that no rule names, one stands for all.
	tenants, uids := []string{""}, []int32{-1}
	for _, r := range slices.Concat(before.Rules, after.Rules) {
		tenants = append(tenants, r.Tenant)
		if r.Class != "" {
			uids = append(uids, int32(classes()[r.Class]))
		}
	}
	for _, tenant := range tenants {
		for _, uid := range uids {
			was, is := ruleFor(before, tenant, uid), ruleFor(after, tenant, uid)
			if n := days(is.Keep); n > 0 && (days(was.Keep) == 0 || n < days(was.Keep)) && !slices.Contains(rules, is) {
				rules = append(rules, is)
			}
		}
	}
	return rules
}
