// SPDX-License-Identifier: Apache-2.0

package prove

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// Where things lie in a data directory.
const (
	lakeDir    = "lake"
	ledgerDir  = "ledger"
	ledgerVKey = "keys/ledger.vkey"
)

// Options of [Make]; the zero value works.
type Options struct {
	// Key is the ledger's verifier key, in the encoding of package note; "" takes
	// the one in the directory.
	Key string
	// Event is the bytes of the event, as somebody kept them, for one that has left
	// the store: its stub shows that it was there, and the rest of the proof is
	// that of any other. It must have the uid that is asked for, or that is "".
	Event []byte
}

// ErrLeft says that there is no such event, and that some have left, whose uids
// are not kept.
var ErrLeft = errors.New("no event here has this uid, and some have left by retention or erasure")

// A Made proof is one that [Check] believes under the key.
type Made struct {
	Proof []byte
	*Proven
	// Others counts the events that have the same uid and are not proven: an
	// emitter can give one uid to two events.
	Others int
	// Left is why the event is no longer in the store, [lake.ReasonRetention] or
	// [lake.ReasonErasure]; "" where it is.
	Left string
}

// Make makes the proof of the event with a uid in the data directory dir. Of
// several it takes the one that was stored first.
//
// It fails with [store.ErrNotFound] when there is none, which is [ErrLeft], too,
// when it may have left, with [ledger.ErrNotYet]
// when it was stored a moment ago, and with [lake.ErrCorrupt] or
// [proof.ErrNotProven] when the directory is damaged.
func Make(ctx context.Context, dir, uid string, opts Options) (*Made, error) {
	vkey := opts.Key
	if vkey == "" {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(ledgerVKey)))
		if err != nil {
			return nil, fmt.Errorf("read the ledger's key: %w", err)
		}
		vkey = strings.TrimSpace(string(b))
	}
	if uid == "" && opts.Event != nil {
		h, err := profile.Check(opts.Event)
		if err != nil {
			return nil, fmt.Errorf("prove event: %w", err)
		}
		uid = h.MetadataUID
	}
	var p *proof.EventProof
	m := new(Made)
	for try := 1; ; try++ {
		r, err := lake.OpenReader(filepath.Join(dir, lakeDir))
		if err != nil {
			return nil, err
		}
		p, err = inLake(ctx, r, uid, opts.Event, m)
		r.Close()
		if err == nil {
			break
		}
		// A living owner may have moved rows to other files meanwhile.
		if now, rerr := number(r); try == tries || rerr != nil || now == r.Manifest().Number || !errors.Is(err, lake.ErrCorrupt) {
			return nil, fmt.Errorf("prove event %s: %w", uid, err)
		}
	}
	if err := inLedger(ctx, dir, vkey, p); err != nil {
		return nil, fmt.Errorf("prove event %s: %w", uid, err)
	}
	m.Proof = p.Encode()
	var err error
	if m.Proven, err = Check(m.Proof, vkey); err != nil {
		return nil, fmt.Errorf("prove event %s: %w", uid, err)
	}
	return m, nil
}

const tries = 3

// number returns that of the newest statement.
func number(r *lake.Reader) (uint64, error) {
	fresh, err := lake.OpenReader(r.Dir())
	if err != nil {
		return 0, err
	}
	defer fresh.Close()
	return fresh.Manifest().Number, nil
}

// A reader is what is asked of a lake.
type reader interface {
	store.Reader
	Dir() string
	Manifest() *lake.Manifest
}

// inLake makes the part of the proof that is about the lake.
func inLake(ctx context.Context, r reader, uid string, kept []byte, m *Made) (p *proof.EventProof, err error) {
	var found *store.Entry
	m.Others, m.Left = 0, ""
	for e, err := range r.Scan(ctx, store.Query{Event: uid}) {
		switch {
		case err != nil:
			return nil, err
		case found == nil:
			found = &e
		default:
			m.Others++
		}
	}
	if found == nil {
		if found, m.Left, err = left(ctx, r, uid, kept); err != nil {
			return nil, err
		}
	}
	p = &proof.EventProof{Event: found.Raw}
	if p.Statement, err = lake.ReadStatement(r.Dir(), found.Commit); err != nil {
		return nil, err
	}
	p.Index, p.Path, err = inGroup(ctx, r, found)
	return p, err
}

// left finds the stub of an event that somebody kept, and why it is one.
func left(ctx context.Context, r reader, uid string, kept []byte) (*store.Entry, string, error) {
	m := r.Manifest()
	switch {
	case kept == nil && len(m.Stubs) > 0:
		return nil, "", fmt.Errorf("%w: %w", store.ErrNotFound, ErrLeft)
	case kept == nil:
		return nil, "", store.ErrNotFound
	}
	h, err := profile.Check(kept)
	if err != nil {
		return nil, "", fmt.Errorf("the kept event: %w", err)
	}
	if h.MetadataUID != uid {
		return nil, "", fmt.Errorf("%w: the kept event has uid %.80q", store.ErrNotFound, h.MetadataUID)
	}
	for i := range m.Stubs {
		f := &m.Stubs[i]
		if iv, ok := f.Epochs[h.Epoch]; !ok || h.Sequence < iv.First || h.Sequence > iv.Last {
			continue
		}
		stubs, err := lake.ReadStubs(ctx, r.Dir(), f.Path)
		if err != nil {
			return nil, "", err
		}
		for _, s := range stubs {
			if s.Epoch == h.Epoch && s.Sequence == h.Sequence && s.Fingerprint == h.Fingerprint {
				return &store.Entry{Raw: kept, Header: h, Commit: s.Commit, Pos: s.Pos}, f.Reason, nil
			}
		}
	}
	return nil, "", store.ErrNotFound
}

// inGroup proves the event among those of its tenant, class and day of its
// commit. They are looked up by their commit, not by file: compaction gives
// them others.
func inGroup(ctx context.Context, r reader, e *store.Entry) (index uint64, path [][32]byte, err error) {
	var leaves [][32]byte
	have := false
	for row, err := range commit(ctx, r, e.Commit) {
		if err != nil {
			return 0, nil, err
		}
		h := &row.Header
		if h.Tenant != e.Header.Tenant || h.ClassUID != e.Header.ClassUID || lake.Day(h.Time) != lake.Day(e.Header.Time) {
			continue
		}
		fingerprint, err := hex.DecodeString(h.Fingerprint)
		if err != nil || len(fingerprint) != sha256.Size {
			return 0, nil, fmt.Errorf("%w: row %d of commit %d has no fingerprint", lake.ErrCorrupt, row.Pos, row.Commit)
		}
		if row.Pos == e.Pos {
			index, have = uint64(len(leaves)), true
		}
		leaves = append(leaves, proof.LeafHash(fingerprint))
	}
	if !have {
		return 0, nil, fmt.Errorf("%w: the columns of row %d of commit %d are not those of its event", lake.ErrCorrupt, e.Pos, e.Commit)
	}
	path, err = proof.Inclusion(leaves, index)
	return index, path, err
}

// commit yields the rows of one commit in the order of their positions, without
// their bytes; of those that left the lake, what is in their stubs.
func commit(ctx context.Context, r reader, number uint64) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		stubs, err := r.Manifest().StubsOf(ctx, r.Dir(), number)
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		before := func(pos uint32) bool {
			for ; len(stubs) > 0 && stubs[0].Pos < pos; stubs = stubs[1:] {
				s := &stubs[0]
				e := store.Entry{Commit: s.Commit, Pos: s.Pos, Header: profile.Header{
					Epoch: s.Epoch, Sequence: s.Sequence, Kind: s.Kind, ClassUID: s.ClassUID, Tenant: s.Tenant, Time: s.Time, Fingerprint: s.Fingerprint,
				}}
				if !yield(e, nil) {
					return false
				}
			}
			return true
		}
		// Behind the last row that the commit before it can have. All tenants, so
		// that the first row of the next commit ends it.
		after := store.Cursor{Commit: number - 1, Pos: math.MaxUint32}
		for row, err := range r.Scan(ctx, store.Query{After: after, WithoutRaw: true}) {
			if err == nil && row.Commit > number {
				break
			}
			if err == nil && !before(row.Pos) || !yield(row, err) || err != nil {
				return
			}
		}
		before(math.MaxUint32)
	}
}

// inLedger makes the part of the proof that is about the ledger.
func inLedger(ctx context.Context, dir, vkey string, p *proof.EventProof) error {
	s, err := lake.ParseStatement(p.Statement)
	if err != nil {
		return err
	}
	// Each statement before it has a leaf of its own.
	t, err := ledger.Prove(ctx, filepath.Join(dir, ledgerDir), vkey, sha256.Sum256(p.Statement), s.Number-1)
	if err != nil {
		return err
	}
	p.Leaf, p.LeafPath, p.Checkpoint = t.Index, t.Path, t.Checkpoint
	return nil
}
