// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// Compact implements [store.Compactor]: it cuts the oldest hot segments into the
// public layout, one class, tenant and day to a file, rows sorted by time. It is
// due when they have [Options.CompactBytes], or when the oldest of them has
// waited for [Options.CompactAfter] or over the end of a day (UTC).
//
// The order is that of a commit: files, statement, manifest. What it reads and
// writes before the statement it does beside the commits; the files that it
// replaced are deleted when the last reader that could still want them is gone.
// A hot segment that is not as its statement says is left as it is, and so are
// all behind it: the error is [ErrCorrupt].
func (l *Lake) Compact(ctx context.Context, force bool, commit func(put func(fence uint64) error) error) (store.Compacted, error) {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	done, err := l.compact(ctx, force, commit)
	if err = errors.Join(err, l.reap()); err != nil {
		return done, failed("compact lake", l.dir, err)
	}
	return done, nil
}

func (l *Lake) compact(ctx context.Context, force bool, commit func(func(uint64) error) error) (store.Compacted, error) {
	if err := l.tidy(); err != nil {
		return store.Compacted{}, err
	}
	hot, err := l.due(force)
	if err != nil || len(hot) == 0 {
		return store.Compacted{}, err
	}
	defer l.settle()
	spilled, err := l.spill(ctx, hot, nil)
	if err != nil {
		return store.Compacted{}, err
	}
	defer spilled.close()
	public, err := l.publish(ctx, spilled)
	if err != nil {
		l.leftovers.Store(true)
		return store.Compacted{}, err
	}
	done := store.Compacted{Before: len(hot), After: len(public)}
	removed := make([]Removed, len(hot))
	for i := range hot {
		removed[i] = Removed{hot[i].Path, hot[i].SHA256, ReasonCompaction}
		done.Rows, done.BytesBefore = done.Rows+hot[i].Rows, done.BytesBefore+hot[i].Bytes
	}
	for i := range public {
		done.BytesAfter += public[i].Bytes
	}
	err = commit(func(fence uint64) error {
		done.Number, err = l.replace(&Statement{Added: public, Removed: removed, Fence: fence})
		return err
	})
	if err == nil && done.Number == 0 {
		err = errors.New("the statement was not put")
	}
	if err != nil {
		l.leftovers.Store(true)
		return store.Compacted{}, err
	}
	return done, nil
}

// due returns the hot segments that are next, oldest first: as many as a
// compaction takes at once, or none.
func (l *Lake) due(force bool) ([]File, error) {
	m := l.Manifest()
	var hot []File
	var bytes int64
	for i := range m.Files {
		if !strings.HasPrefix(m.Files[i].Path, HotDir+"/") {
			continue
		}
		hot, bytes = append(hot, m.Files[i]), bytes+m.Files[i].Bytes
		if bytes >= l.opts.CompactBytes {
			return hot, nil
		}
	}
	if force || len(hot) == 0 {
		return hot, nil
	}
	since, err := l.committed(hot[0].FirstCommit)
	if err != nil {
		return nil, err
	}
	now := l.opts.Now()
	if now.Sub(since) < l.opts.CompactAfter && Day(now.UnixMilli()) == Day(since.UnixMilli()) {
		return nil, nil
	}
	return hot, nil
}

// committed returns the time of a statement.
func (l *Lake) committed(number uint64) (time.Time, error) {
	if l.oldest.number != number {
		b, err := ReadStatement(l.dir, number)
		if err != nil {
			return time.Time{}, err
		}
		s, err := ParseStatement(b)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", StatementPath(number), err)
		}
		l.oldest.number, l.oldest.time = number, time.UnixMilli(s.Time)
	}
	return l.oldest.time, nil
}

// replace puts the statement that files have taken the place of others, of which
// what is about them is given. It returns its number.
func (l *Lake) replace(says *Statement) (uint64, error) {
	l.commit.Lock()
	defer l.commit.Unlock()
	if err := l.ready(says.Fence); err != nil {
		return 0, err
	}
	if l.opts.Upgrade != nil {
		if err := l.opts.Upgrade(); err != nil {
			return 0, err
		}
	}
	st := l.next()
	st.Added, st.Removed, st.Fence = append(st.Added, says.Added...), says.Removed, says.Fence
	st.Stubs, st.Reference, st.By = says.Stubs, says.Reference, says.By
	raw, err := st.Encode()
	if err != nil {
		return 0, err
	}
	if st.removes() {
		if err := l.warrant(raw); err != nil {
			return 0, err
		}
	}
	if _, err := l.state(st, raw, l.StreamSeq()); err != nil {
		l.dirty.Store(true)
		return 0, err
	}
	l.mu.Lock()
	for _, r := range says.Removed {
		l.removed = append(l.removed, gone{r.Path, st.Number})
	}
	l.mu.Unlock()
	return st.Number, nil
}

// warrant lets the owner of the lake sign that a statement may take events away:
// before it is put, as that alone tells it from one that somebody else wrote where
// a crash comes between the statement and its leaf in the ledger.
func (l *Lake) warrant(statement []byte) error {
	if err := l.opts.Fault("warrant begin"); err != nil {
		return err
	}
	if l.opts.Warrant != nil {
		if err := l.opts.Warrant(statement); err != nil {
			return err
		}
	}
	return l.opts.Fault("warrant written")
}

// settle ends the protection of the files of a compaction: they are named by
// its statement now, or of no use.
func (l *Lake) settle() {
	l.mu.Lock()
	clear(l.writing)
	l.mu.Unlock()
}
