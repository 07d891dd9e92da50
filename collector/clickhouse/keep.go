// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	// Found is the TTL that the events had where that was another than the store's own
	// notes say, such as one that somebody else had set: "none" if they had none. "" where
	// it was that. Before is it, if it can be said as a policy and nothing else changes.
	Found string
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

const shortenHint = "if that is meant, start docket up once with --shorten-retention; if not, configure what was"

// Troubles returns those of a store that is written to.
func (s *Store) Troubles() (all []Trouble) {
	c := s.Changed()
	if c != nil && c.Refused {
		all = append(all, Trouble{
			fmt.Sprintf("events are kept as before, %s: the configuration says %s, by which some would leave earlier", c.Before, c.After),
			shortenHint,
		})
	}
	if c != nil && c.Found != "" {
		all = append(all, Trouble{
			fmt.Sprintf("when this docket became the writer, the events had another TTL than %s says: %.200s", evidence.TableRetention, c.Found),
			"find out who sets it; docket verify --store tells what left by it that should be there",
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
//
// What was set is remembered, as the server words it its own way; what the tables have
// is read nevertheless: somebody else may have set it, or a docket ended before it
// noted what it set.
func (s *Store) keep(ctx context.Context) error {
	aim := s.opts.Retention
	next, err := ttl(aim)
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	var have string
	var rows uint64
	if err := s.query(ctx, "SELECT argMax(ttl, set), count() FROM "+evidence.TableRetention, func(scan func(...any) error) error { return scan(&have, &rows) }); err != nil {
		return fmt.Errorf("read retention: %w", err)
	}
	events, err := s.mend(ctx)
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	var change *Change
	before, err := parseTTL(have)
	known := rows > 0 && err == nil
	switch {
	case rows > 0 && s.opts.KeepRetention:
		if !known {
			s.keeps(before, false, nil)
			return nil
		}
		aim = before
	case known && have != next:
		change = &Change{Before: before, After: aim, Shorter: shorter(&before, &aim)}
		if change.Refused = len(change.Shorter) > 0 && !s.opts.Shorten; change.Refused {
			aim = before
		}
	}
	strays, leave := known && events.strays(), false
	if strays {
		if change, leave, err = s.strayed(ctx, events.have.ttl, before, aim, change); err != nil {
			return fmt.Errorf("set retention: %w", err)
		}
		s.log.Warn("the events have another TTL than docket_retention says", "found", change.Found, "retention", before.String())
	}
	if change != nil && change.Refused {
		s.log.Warn("events are kept as before: as configured, some would be kept for a shorter time", "before", change.Before.String(), "configured", change.After.String(), "hint", shortenHint)
	}
	if leave {
		s.keeps(change.Before, true, change)
		return nil
	}
	if next, err = ttl(aim); err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	noted := rows > 0 && have == next
	if noted && !strays {
		s.keeps(aim, true, change)
		return nil
	}
	if err := s.setTTL(ctx, evidence.TableEvents, next, events.have.moves); err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	if !noted {
		if err := s.exec(ctx, nil, "INSERT INTO "+evidence.TableRetention+" (set, ttl) SELECT now64(6), "+text(next)); err != nil {
			return fmt.Errorf("set retention: %w", err)
		}
	}
	switch {
	case change == nil:
		s.log.Info("set how long events are kept", "after", aim.String())
	case change.Refused:
		s.log.Warn("put back how long events are kept", "after", aim.String())
	default:
		s.log.Warn("changed how long events are kept", "before", change.Before.String(), "after", aim.String())
	}
	s.keeps(aim, true, change)
	return nil
}

// strayed returns what is to be said of events that have another TTL than the one
// before, which docket_retention says, while aim shall be in force; c is what there is
// to say else. They keep theirs where nothing leaves earlier by it than by aim. What
// says more than a policy does is no such: it may let go of anything.
func (s *Store) strayed(ctx context.Context, has []string, before, aim retention.Policy, c *Change) (change *Change, leave bool, err error) {
	found, known, err := s.policyOf(ctx, has)
	if err != nil {
		return nil, false, err
	}
	earlier := shorter(&found, &aim)
	leave = known && !s.opts.Shorten && len(earlier) > 0 && len(shorter(&aim, &found)) == 0
	switch {
	case leave:
		change = &Change{Before: found, After: aim, Refused: true}
		if c != nil {
			change.After = c.After
		}
		change.Shorter = shorter(&change.Before, &change.After)
	case c != nil:
		change = c
	case known:
		change = &Change{Before: found, After: aim, Shorter: earlier}
	default:
		change = &Change{Before: before, After: aim}
	}
	if change.Found = strings.Join(has, ", "); change.Found == "" {
		change.Found = "none"
	}
	return change, leave, nil
}

// mend gives all tables but that of the events the TTL that they should have, and
// returns how it is with that one.
func (s *Store) mend(ctx context.Context) (events expiry, err error) {
	tables, err := s.expiries(ctx)
	if err != nil {
		return events, err
	}
	for _, e := range tables {
		if e.want.name == evidence.TableEvents {
			events = e
			continue
		}
		if !e.strays() {
			continue
		}
		s.log.Warn("a table has another TTL than docket makes it with: it is put back", "table", e.want.name, "found", strings.Join(e.have.ttl, ", "), "after", strings.Join(e.want.ttl, ", "))
		if err := s.setTTL(ctx, e.want.name, strings.Join(e.want.ttl, ", "), e.have.moves); err != nil {
			return events, err
		}
	}
	return events, nil
}

// setTTL gives a table another TTL, "" for none, and leaves it where old rows lie.
func (s *Store) setTTL(ctx context.Context, table, next string, moves []string) error {
	// Of two who have just become the writer, one has not any more.
	if err := s.current(ctx); err != nil {
		return err
	}
	alter := "REMOVE TTL"
	if next != "" {
		moves = append([]string{next}, moves...)
	}
	if len(moves) > 0 {
		alter = "MODIFY TTL " + strings.Join(moves, ", ")
	}
	err := s.exec(ctx, nil, "ALTER TABLE "+s.altered(table)+" "+alter)
	if refused := new(clickhouse.Exception); len(moves) == 0 && errors.As(err, &refused) && refused.Code == 36 {
		return nil // it has none
	}
	return err
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
