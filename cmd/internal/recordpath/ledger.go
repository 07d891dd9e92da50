// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
)

// A takenBack statement took events away, and nobody who has the ledger's key had
// let them go.
type takenBack struct {
	reason error
	path   string // where it is now, relative to the data directory
}

// openLedger opens the ledger of a data directory, before the lake, which removes
// what no statement names: where statements were taken away, that would be what is
// left of them.
//
// A last statement that takes events away without a warrant is never signed. Where
// all is there that it takes away, it is taken back, and the start goes on: it is
// somebody else's, or of a docket of before there were warrants, which was killed
// between statement and leaf. Where it is not, the start is refused, or with adopt
// the ledger begun anew.
func openLedger(ctx context.Context, cfg *config.Config, dir *datadir.Dir, adopt bool, log *slog.Logger) (*ledger.Ledger, *takenBack, error) {
	key, err := ledger.OpenKey(LedgerKey(cfg, dir), dir.Join("keys", "ledger.vkey"))
	if err != nil {
		return nil, nil, err
	}
	opts := ledger.Options{
		Logger: log, Statements: lake.Statements(dir.Join("lake"), 1), Kept: dir.Join("keys", "ledger.checkpoint"),
		Removes: lake.Removes, Warrants: dir.Join("keys", "ledger.warrant"),
	}
	l, err := ledger.Open(ctx, dir.Join("ledger"), key, opts)
	var back *takenBack
	if errors.Is(err, ledger.ErrNoWarrant) && !errors.Is(err, ledger.ErrContradicted) {
		path, failed := takeBack(dir, log)
		if failed != nil {
			err = fmt.Errorf("%w; nor can it be taken back: %w", err, failed)
		} else {
			back = &takenBack{err, "lake/" + path}
			log.Error("a statement that took events away was taken back", "error", err, "path", back.path)
			l, err = ledger.Open(ctx, dir.Join("ledger"), key, opts)
		}
	}
	if err != nil && adopt {
		opts.Adopt = true
		l, err = ledger.Open(ctx, dir.Join("ledger"), key, opts)
	}
	return l, back, err
}

// takeBack takes the last statement back.
func takeBack(dir *datadir.Dir, log *slog.Logger) (path string, err error) {
	var last uint64
	for _, err := range lake.Statements(dir.Join("lake"), 1) {
		if err != nil {
			return "", err
		}
		last++
	}
	return lake.TakeBack(dir.Join("lake"), last, lake.Options{Logger: log})
}
