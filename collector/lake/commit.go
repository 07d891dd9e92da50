// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// Commit implements [store.Writer]. The order is: segment, quarantine file,
// statement, manifest. The rename of the statement is the commit; what lies
// before it without it is as if it had not been, and the manifest follows from
// the statements.
//
// After an error the batch may be committed or not. The next Commit finds out,
// and takes what is there as duplicates. What can fail because of the entries
// fails before anything is written, with [store.ErrUnfit].
func (l *Lake) Commit(ctx context.Context, b store.Batch) (store.Committed, error) {
	l.commit.Lock()
	defer l.commit.Unlock()
	if err := l.ready(b.Fence); err != nil {
		return store.Committed{}, failed("commit to lake", l.dir, err)
	}
	sifted, err := l.sift(ctx, b)
	if err != nil {
		return store.Committed{}, failed("commit to lake", l.dir, err)
	}
	out := store.Committed{Duplicates: sifted.duplicates}
	if len(sifted.entries) == 0 && len(sifted.quarantined) == 0 {
		l.mu.Lock()
		l.streamSeq = b.StreamSeq
		l.mu.Unlock()
		return out, nil
	}
	m, err := l.write(sifted, b)
	if err != nil {
		l.dirty.Store(!errors.Is(err, store.ErrUnfit)) // which wrote nothing
		return store.Committed{}, failed("commit to lake", l.dir, err)
	}
	out.Number, out.Added = m.Number, sifted.entries
	for i := range out.Added {
		if sifted.conflict[i] {
			out.Conflicts = append(out.Conflicts, out.Added[i])
		}
	}
	return out, nil
}

// ready says whether a statement may follow, after whatever befell the one
// before it. The caller holds commit.
func (l *Lake) ready(fence uint64) error {
	if l.closed {
		return ErrClosed
	}
	if l.dirty.Load() {
		if err := l.start(); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		l.dirty.Store(false)
	}
	if last := l.Manifest(); fence < last.Fence {
		return fmt.Errorf("%w: with fence %d, this one has %d", store.ErrFenced, last.Fence, fence)
	}
	return nil
}

// next begins the statement that follows the last one.
func (l *Lake) next() *Statement {
	last := l.Manifest()
	return &Statement{
		Number: last.Number + 1, Prev: last.Statement, StreamSeq: last.StreamSeq, Fence: last.Fence,
		// A clock that was set back must not make commits older than their
		// predecessors.
		Time:  max(l.opts.Now().UnixMilli(), last.Time),
		Added: []File{}, Removed: []Removed{}, Counts: []Count{}, Epochs: map[string]Progress{}, Quarantined: []Quarantine{},
	}
}

// write makes a commit of what is new.
func (l *Lake) write(s *sifted, b store.Batch) (*Manifest, error) {
	st := l.next()
	st.StreamSeq, st.Fence = b.StreamSeq, b.Fence
	for i := range s.entries {
		e := &s.entries[i]
		e.Commit, e.Pos, e.StoredTime = st.Number, uint32(i), time.UnixMilli(st.Time).UTC()
	}
	defer l.room.trim()
	p, err := l.prepare(st, s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnfit, err)
	}
	for _, f := range p.files {
		if err := l.put(f); err != nil {
			return nil, err
		}
	}
	return l.state(st, p.statement, b.StreamSeq)
}

// state puts a statement, whose files are durable, and what it makes of the
// manifest. After an error it is in force or not: the lake is dirty.
func (l *Lake) state(st *Statement, raw []byte, streamSeq uint64) (*Manifest, error) {
	next := l.Manifest().snapshot()
	if err := next.apply(st, Digest(raw)); err != nil {
		return nil, err
	}
	if err := l.put(output{StatementPath(st.Number), "statement", raw}); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.manifest, l.streamSeq = next, streamSeq
	l.mu.Unlock()
	l.indexes.later(st.Added)
	// Written each time the manifest would cost more than the rest of a commit
	// once there are many files; readers make up for up to a 64th of them.
	if next.Number-l.written > uint64(len(next.Files)/64) {
		return next, l.writeManifest(next)
	}
	return next, nil
}

// prepared is a commit of which nothing is written yet.
type prepared struct {
	files     []output
	statement []byte
}

// An output is a file to be made durable.
type output struct {
	path, kind string
	content    []byte
}

func (l *Lake) put(f output) error {
	err := put(l.dir, f.path, f.kind, l.opts.Fault, func(w io.Writer) error {
		_, err := w.Write(f.content)
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", f.kind, err)
	}
	return nil
}

// prepare makes the files of a commit, and the statement that names them.
func (l *Lake) prepare(st *Statement, s *sifted) (*prepared, error) {
	if err := l.account(st, s, l.Manifest()); err != nil {
		return nil, err
	}
	p := new(prepared)
	if len(s.entries) > 0 {
		content, f, err := encodeSegment(s.entries, &l.room)
		if err != nil {
			return nil, err
		}
		f.Path = HotDir + "/" + l.opts.NewUID() + segmentSuffix
		st.Added = append(st.Added, f)
		p.files = append(p.files, output{f.Path, "segment", content})
	}
	if len(s.quarantined) > 0 {
		content, err := encodeQuarantine(s.quarantined, st.Time)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		q := Quarantine{
			Path: QuarantineDir + "/" + l.opts.NewUID() + quarantineSuffix, SHA256: hex.EncodeToString(sum[:]),
			Bytes: int64(len(content)), Count: int64(len(s.quarantined)),
		}
		for i := range s.quarantined {
			q.StreamSeqs.Add(int64(s.quarantined[i].StreamSeq))
		}
		st.Quarantined = append(st.Quarantined, q)
		p.files = append(p.files, output{q.Path, "quarantine", content})
	}
	var err error
	p.statement, err = st.Encode()
	return p, err
}

// account fills in what the statement says of rows and epochs.
func (l *Lake) account(st *Statement, s *sifted, last *Manifest) error {
	var t Tally
	var epoch string // of the row before: p is to be what st says of it
	var p Progress
	for i := range s.entries {
		e := &s.entries[i]
		if err := t.Add(e.Header); err != nil {
			return err
		}
		if i == 0 || e.Header.Epoch != epoch {
			if i > 0 {
				st.Epochs[epoch] = p
			}
			epoch, p = e.Header.Epoch, st.Epochs[e.Header.Epoch]
		}
		p.Tenant, p.Emitter = e.Header.Tenant, e.Header.Emitter
		if s.conflict[i] {
			p.Conflicts.Add(e.Header.Sequence)
		} else {
			p.Stored.Add(e.Header.Sequence)
			if e.Header.Sequence > p.HeadSequence {
				p.HeadSequence, p.HeadFingerprint = e.Header.Sequence, e.Header.Fingerprint
			}
		}
	}
	if len(s.entries) > 0 {
		st.Epochs[epoch] = p
	}
	for i := range s.entries {
		if !s.conflict[i] {
			l.close(st, last, &s.entries[i])
		}
	}
	for i := range s.quarantined {
		if q := &s.quarantined[i]; q.Epoch != "" && q.Sequence > 0 {
			p := st.Epochs[q.Epoch]
			p.Quarantined.Add(q.Sequence)
			st.Epochs[q.Epoch] = p
		}
	}
	var err error
	st.Counts, err = t.Counts()
	return err
}

// close notes the epochs that e ends. An emitter speaks for its own epochs of
// the same tenant only.
func (l *Lake) close(st *Statement, last *Manifest, e *store.Entry) {
	closes, err := store.Closing(e.Header, e.Raw)
	if err != nil {
		// The event stays as it is; the epochs it meant stay open.
		l.log.Warn("a start event says in vain what it closes", "event", e.Header.MetadataUID, "error", err)
		return
	}
	for _, c := range closes {
		p, known := st.Epochs[c.Epoch], last.Epochs[c.Epoch]
		tenant, emitter := p.Tenant, p.Emitter
		if known.Tenant != "" {
			tenant, emitter = known.Tenant, known.Emitter
		}
		if tenant == "" {
			tenant, emitter = e.Header.Tenant, e.Header.Emitter
		}
		if tenant != e.Header.Tenant || emitter != e.Header.Emitter {
			l.log.Warn("a start event closes an epoch of another", "event", e.Header.MetadataUID, "epoch", c.Epoch)
			continue
		}
		p.Tenant, p.Emitter = tenant, emitter
		if p.Closed == nil && known.Closed == nil {
			p.Closed = &c
		}
		st.Epochs[c.Epoch] = p
	}
}
