// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"slices"
	"sync"
)

// spans say which rows are of commits: the writers, and the first and the last number
// that each has a commit of. They are never changed.
type spans struct{ writers, firsts, lasts []int64 }

// have reports whether a row with this number and writer is of a commit.
func (sp spans) have(number, writer int64) bool {
	i, found := slices.BinarySearch(sp.writers, writer)
	return found && sp.firsts[i] <= number && number <= sp.lasts[i]
}

// newest is the last commit that these know of; 0 when there is none.
func (sp spans) newest() (number, writer int64) {
	if n := len(sp.writers) - 1; n >= 0 {
		return sp.lasts[n], sp.writers[n]
	}
	return 0, 0
}

// with returns spans that know also of the last commit, and of all before it that these do
// not know; ok is false where that does not follow: then there may be commits of others in
// between.
func (sp spans) with(number, writer int64) (next spans, ok bool) {
	last, of := sp.newest()
	switch {
	case last > 0 && number > last && writer == of: // as writers follow each other
		return spans{sp.writers, sp.firsts, append(slices.Clone(sp.lasts[:len(sp.lasts)-1]), number)}, true
	case number == last+1 && writer > of:
		return spans{append(slices.Clone(sp.writers), writer), append(slices.Clone(sp.firsts), number), append(slices.Clone(sp.lasts), number)}, true
	}
	return sp, number == last && writer == of
}

// A memory is what was last read of the spans of a store. A commit is for ever: what is of
// one by these is of one, and what is not may have become so since.
type memory struct {
	mu sync.Mutex
	sp spans // guarded by mu
}

func (m *memory) get() spans {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sp
}

func (m *memory) set(sp spans) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sp = sp
}

// come tells that the last commit is this one. Where there is less than was known, the
// database is another, and nothing is known of it.
func (m *memory) come(number uint64, writer int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if next, ok := m.sp.with(int64(number), writer); ok {
		m.sp = next
	} else if last, _ := m.sp.newest(); int64(number) < last {
		m.sp = spans{}
	}
}

// learn reads the spans as they are, and the name of the database.
func (s *server) learn(ctx context.Context) (sp spans, database string, err error) {
	err = s.lookUp(ctx, ranges+"SELECT currentDatabase(), r.1, r.2, r.3", func(scan func(...any) error) error {
		return scan(&database, &sp.writers, &sp.firsts, &sp.lasts)
	})
	if err == nil {
		s.memory.set(sp)
	}
	return sp, database, err
}
