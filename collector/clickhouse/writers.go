// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
)

// register takes the next generation. It fails with [store.ErrFenced] if another
// process took one since s had the last, unless open.
func (s *Store) register(ctx context.Context, open bool) error {
	for again := 0; again < mostPoisoned; {
		h, err := s.seen(ctx)
		if err != nil {
			return err
		}
		if !open && h.generation > s.generation && h.uid != s.uid {
			return s.overtaken()
		}
		mine := h.generation + 1
		if err := s.db.putGeneration(ctx, h.generation, s.uid, token(uint64(mine), again)); err != nil {
			return err
		}
		switch got, err := s.db.generation(ctx, mine); {
		case err != nil:
			return err
		case got == s.uid:
			s.generation = mine
			return nil
		case got == "":
			again++ // see [Store.putEvents]
		default:
			again = 0 // it is another's; the next one is free, or not
		}
	}
	return fmt.Errorf("the server took a row of docket_writers and does not have it")
}

// current fails with [store.ErrFenced] if s is not the last one that registered.
func (s *Store) current(ctx context.Context) error {
	h, err := s.seen(ctx)
	if err != nil {
		return err
	}
	if h.generation != s.generation {
		return s.overtaken()
	}
	return nil
}

// overtaken ends s as a writer.
func (s *Store) overtaken() error {
	s.fenced = fmt.Errorf("%w: another process has opened the store to write to it", store.ErrFenced)
	return s.fenced
}
