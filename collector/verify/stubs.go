// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// stubsAs makes of a file of stubs one that is read among the segments: its
// stubs are counted, hashed and chained where the rows were that they stand for.
func stubsAs(f lake.StubFile, statement uint64) named {
	return named{
		File:      lake.File{Path: f.Path, SHA256: f.SHA256, Bytes: f.Bytes, Rows: f.Count, FirstCommit: f.FirstCommit, LastCommit: f.LastCommit, Epochs: f.Epochs},
		statement: statement, stubs: &f,
	}
}

// checkStubs reads a file of stubs, and compares it with what its statement says.
func (v *verifier) checkStubs(ctx context.Context, s *segment) {
	stubs, err := lake.ReadStubs(ctx, v.lakePath(), s.Path)
	if err != nil {
		if ctx.Err() == nil && !s.damaged {
			v.problem(Damage, s.place, "%v", err)
		}
		s.damaged = true
		return
	}
	for i := range stubs {
		stub := &stubs[i]
		e := event{
			row: i, commit: stub.Commit, pos: stub.Pos, tenant: stub.Tenant, epoch: stub.Epoch, class: stub.ClassUID,
			time: stub.Time, sequence: stub.Sequence, stub: true,
			lifecycle: stub.ClassUID == int32(ocsf.ClassApplicationLifecycle) && stub.Kind == profile.KindLifecycle,
		}
		v.prints(s, &e, stub.Fingerprint, "")
		s.events = append(s.events, e)
	}
	if s.damaged {
		return
	}
	v.checkLeft(s)
	if !maps.Equal(lake.EpochsOf(stubs), s.Epochs) {
		v.problem(Damage, s.place, "what the statement says of its epochs does not follow from the stubs")
	}
	if v.broken {
		return
	}
	for i := range s.events {
		if e := &s.events[i]; v.statement(e.commit) == nil || e.commit < s.FirstCommit || e.commit > s.LastCommit {
			v.problem(Damage, s.at(e, lake.ColumnCommit), "the stubs are of commits %d to %d", s.FirstCommit, s.LastCommit)
			s.damaged = true
		}
	}
}

// checkLeft compares a file of stubs with the statement by which the rows left:
// how many they are, in which order, and whether their time was over.
func (v *verifier) checkLeft(s *segment) {
	if int64(len(s.events)) != s.Rows {
		v.problem(Damage, s.place, "it has %d stubs, the statement says %d", len(s.events), s.Rows)
	}
	var keep int64 = -1 // ms
	if s.stubs.Reason == lake.ReasonRetention {
		p, err := retention.Kept(s.stubs.Rule)
		if err != nil {
			v.problem(Damage, s.place, "its rule of retention: %v", err)
		} else {
			keep = int64(p) / 1e6
		}
	}
	by := v.statement(s.statement)
	for i := range s.events {
		e := &s.events[i]
		if i > 0 {
			if p := &s.events[i-1]; cmp.Or(cmp.Compare(p.commit, e.commit), cmp.Compare(p.pos, e.pos)) >= 0 {
				v.problem(Damage, s.at(e, ""), "it does not follow the stub before it")
				return
			}
		}
		if by != nil && keep >= 0 && by.parsed.Time-e.time < keep {
			v.problem(Damage, s.at(e, "time"), "the event left before its time by the rule %q was over", s.stubs.Rule)
			return
		}
	}
}

// countStub counts a stub for the report.
func (v *verifier) countStub(s *segment) {
	if s.stubs.Reason == lake.ReasonErasure {
		v.report.Erased++
		return
	}
	i := slices.IndexFunc(v.report.Expired, func(e Expired) bool { return e.Rule == s.stubs.Rule })
	if i < 0 {
		i = len(v.report.Expired)
		v.report.Expired = append(v.report.Expired, Expired{Rule: s.stubs.Rule})
	}
	v.report.Expired[i].Events++
}

// countStub counts one for the epoch.
func (p *epoch) countStub(s *segment, e *event) {
	if s.stubs.Reason == lake.ReasonErasure {
		p.erased++
	} else {
		p.expired++
	}
	p.ends = p.ends || e.lifecycle
}

// emitterOf returns the emitter of an epoch, which its stubs do not tell.
func (v *verifier) emitterOf(p *epoch) string {
	if p.emitter != "" || v.fold == nil {
		return p.emitter
	}
	return v.fold.Epochs[p.uid].Emitter
}

// checkBalance compares how many rows a statement added or took away with how many
// it counts, and how many it put in their place, as the statements say.
func (v *verifier) checkBalance() {
	rows := map[string]int64{}
	for i := range v.statements {
		s := v.statements[i].parsed
		if s == nil {
			continue
		}
		var before, after, stubs int64
		for j := range s.Removed {
			before += rows[s.Removed[j].Path]
			delete(rows, s.Removed[j].Path)
		}
		for j := range s.Added {
			after += s.Added[j].Rows
			rows[s.Added[j].Path] = s.Added[j].Rows
		}
		for j := range s.Stubs {
			stubs += s.Stubs[j].Count
		}
		if v.broken {
			continue
		}
		if n := stored(s); len(s.Removed) == 0 && (after != counted(s) || n >= 0 && after != n) {
			v.problem(Damage, statementPlace(s.Number), "it counts %d events and accounts for %d sequences, its files have %d rows", counted(s), n, after)
		}
		if len(s.Removed) > 0 && before != after+stubs {
			v.problem(Damage, statementPlace(s.Number), "it removes files of %d events, and puts %d and stubs of %d in their place", before, after, stubs)
		}
	}
}

// checkUnsignedLeft tells of statements by which events left and that nobody has
// signed for: neither for them nor a warrant of them, which the ledger's owner
// signs before it puts one. Anybody can write such who wants events gone.
func (v *verifier) checkUnsignedLeft(ctx context.Context) {
	if v.broken {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(v.opts.patience, signingTime))
	defer cancel()
	for i := v.signed; i < len(v.statements); i++ {
		s := &v.statements[i]
		if s.parsed == nil || !v.unwarranted(s) || v.state == ownerLives && v.signsFor(ctx, s) {
			continue
		}
		var left int64
		for j := range s.parsed.Stubs {
			left += s.parsed.Stubs[j].Count
		}
		v.problem(Signature, statementPlace(s.number), "%d events left by it, and the ledger's owner has signed neither for it nor a warrant of it; the next start will not sign for it", left)
	}
}

// readWarrant returns nil where there is none.
func (v *verifier) readWarrant() []byte {
	raw, err := readShort(filepath.Join(v.dir, filepath.FromSlash(warrantPath)))
	if err != nil {
		return nil // it says nothing, then
	}
	return raw
}

// warranted reports whether a warrant is by the ledger's owner, and of s.
func (v *verifier) warranted(s *statement, raw []byte) bool {
	if raw == nil || v.vkey == "" {
		return false
	}
	digest, err := ledger.OpenWarrant(raw, v.vkey)
	return err == nil && digest == s.digest
}

// unwarranted reports whether events leave by s without a warrant: whether there
// ever was one matters only where it is not signed for.
func (v *verifier) unwarranted(s *statement) bool {
	return s.removes() && !v.warranted(s, v.warrant)
}

// signsFor waits until the living owner has signed for s, in a warrant or in the
// ledger, of which the one may have come and the other gone while it was read. It
// waits until ctx ends.
func (v *verifier) signsFor(ctx context.Context, s *statement) bool {
	leaf := ledger.LeafHash(s.digest)
	for {
		if v.warranted(s, v.readWarrant()) {
			return true
		}
		log, _, err := ledger.Read(ctx, filepath.Join(v.dir, ledgerDir), v.vkey)
		if err == nil && log.Trusted && slices.Contains(log.Hashes[:min(uint64(len(log.Hashes)), log.Checkpoint.Size)], leaf) {
			return true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// noteTakenBack tells of statements that a start has taken back.
func (v *verifier) noteTakenBack() {
	paths, err := lake.TakenBack(v.lakePath())
	if err != nil {
		return // there are no statements, which is told
	}
	for _, path := range paths {
		v.note("a statement by which events left, and that nobody had signed for, was taken back, and they are there: %s", safe(inLake(path)))
	}
}

// stored returns how many sequences a commit accounts for as stored, or -1 where
// some are in conflict, which may be more rows than sequences.
func stored(s *lake.Statement) int64 {
	var n int64
	for _, p := range s.Epochs {
		if len(p.Conflicts) > 0 {
			return -1
		}
		n += p.Stored.Count()
	}
	return n
}

// unnamedStubs says where stubs are that no statement names: the first of them.
func (v *verifier) unnamedStubs(path string) Place {
	place := Place{File: inLake(path)}
	if stubs, err := lake.ReadStubs(context.Background(), v.lakePath(), path); err == nil && len(stubs) > 0 {
		place.Statement, place.Epoch, place.Sequence = stubs[0].Commit, stubs[0].Epoch, stubs[0].Sequence
	}
	return place
}
