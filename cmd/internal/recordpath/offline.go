// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// Stores are the lake and the ledger of a directory into which nobody collects.
type Stores struct {
	Lake *lake.Lake
	// Retention is what is under a hold, and how long events are kept.
	Retention *retention.Book

	ledger *ledger.Ledger
}

// openLake opens the lake of a data directory for writing. What leaves it leaves by
// a warrant of the ledger.
func openLake(cfg *config.Config, dir *datadir.Dir, l *ledger.Ledger, log *slog.Logger) (*lake.Lake, error) {
	return lake.Open(dir.Join("lake"), lake.Options{
		Logger: log, Region: cfg.Lake.Region, CompactAfter: time.Duration(cfg.Lake.CompactAfter), Upgrade: dir.Upgrade, Warrant: l.Warrant,
	})
}

// OpenStores opens the stores of a data directory that this process owns. What a
// crash kept from the ledger is made up for.
func OpenStores(ctx context.Context, cfg *config.Config, dir *datadir.Dir, log *slog.Logger) (_ *Stores, err error) {
	s := new(Stores)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(ctx))
		}
	}()
	if cfg.Store.URL != "" || datadir.Within(dir.Path, "", "") != nil {
		return nil, &datadir.Error{
			Path: dir.Path, Err: fmt.Errorf("%w but in ClickHouse, which compacts them, and lets go of them, by itself", datadir.ErrElsewhere),
			Advice: "this is for events in a lake; docs/clickhouse.md says what there is in place of it",
		}
	}
	// What was taken back lies where docket verify tells of it.
	if s.ledger, _, err = openLedger(ctx, cfg, dir, false, log); err != nil {
		return nil, err
	}
	if s.Lake, err = openLake(cfg, dir, s.ledger, log); err != nil {
		return nil, err
	}
	if s.Retention, err = openBook(cfg, dir, s.Lake); err != nil {
		return nil, err
	}
	if _, err = s.ledger.Ensure(ctx, s.Lake.Statements(1)); err == nil {
		dir.Settle()
	}
	return s, err
}

// Compact puts everything that is hot into the public layout, and calls each for
// every part of it.
func (s *Stores) Compact(ctx context.Context, each func(store.Compacted)) error {
	for {
		done, err := s.Lake.Compact(ctx, true, s.commit(ctx))
		if err != nil || done.Number == 0 {
			return err
		}
		each(done)
	}
}

// commit puts a statement, and into the ledger.
func (s *Stores) commit(ctx context.Context) func(put func(uint64) error) error {
	return func(put func(uint64) error) error {
		number := s.Lake.Manifest().Number
		if err := put(s.Lake.LastFence()); err != nil {
			return err
		}
		for statement, err := range s.Lake.Statements(number + 1) {
			if err == nil {
				err = s.ledger.Add(ctx, statement)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// Erase erases as [collector.Collector.Erase] does. What was done is told by the
// next docket that runs over the directory.
func (s *Stores) Erase(ctx context.Context, e retention.Erasure, each func(retention.Left)) (retention.Left, error) {
	if err := e.Validate(); err != nil {
		return retention.Left{}, err
	}
	return collector.Erase(ctx, s.Lake, s.Retention, e, s.commit(ctx), each)
}

// Expire lets expire what is due, as [collector.Collector.Expire] does.
func (s *Stores) Expire(ctx context.Context, forced bool, each func(retention.Left)) (all retention.Left, err error) {
	for {
		terms, err := s.Retention.Terms(time.Now(), s.Lake.Newest(), forced)
		if err != nil {
			return all, err
		}
		done, err := s.Lake.Expire(ctx, terms, s.commit(ctx))
		if all.Held = done.Held; err != nil || done.Number == 0 {
			return all, err
		}
		all.Number, all.Rows, all.Removed, all.Rewritten = done.Number, all.Rows+done.Rows, all.Removed+done.Removed, all.Rewritten+done.Rewritten
		each(done)
	}
}

// BookPath is where a data directory keeps its holds.
const BookPath = "retention.json"

// openBook opens it, before anything is committed to the lake.
func openBook(cfg *config.Config, dir *datadir.Dir, l *lake.Lake) (*retention.Book, error) {
	policy, err := retention.ParsePolicy(string(cfg.Lake.Retention), cfg.Lake.RetentionRules.List...)
	if err != nil {
		return nil, fmt.Errorf("configure retention: %w", err)
	}
	book, err := retention.Open(dir.Join(BookPath), policy, retention.Options{})
	if err != nil {
		return nil, err
	}
	return book, book.Begin(l.Newest())
}

// Close closes both.
func (s *Stores) Close(ctx context.Context) error {
	var errs []error
	if s.Lake != nil {
		errs = append(errs, s.Lake.Close())
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close(ctx))
	}
	return errors.Join(errs...)
}
