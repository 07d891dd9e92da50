// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

// ErrNoTenant says that the store has nothing of a tenant that was asked for: a
// typo must not pass for a history in which all is well.
var ErrNoTenant = errors.New("no such tenant here")

// A Scope says what of a history was judged in depth. The ledger, the statements
// and the manifest are judged whole in any case.
type Scope struct {
	Since  int64  `json:"since,omitempty"` // ms since 1970; 0: from the beginning
	Tenant string `json:"tenant,omitempty"`
	// First is the first statement that was judged in depth. Those before it are
	// taken by their digests, which the ledger has.
	First uint64 `json:"first_statement"`
	// Passed counts the segments that were looked at by name and size only, and
	// PassedEpochs the epochs that nothing is said of.
	Passed       int `json:"segments_passed_over"`
	PassedEpochs int `json:"epochs_passed_over"`
}

// lines says it for people.
func (s *Scope) lines() string {
	var b strings.Builder
	if s.Since != 0 {
		fmt.Fprintf(&b, "only what was stored since %s: statements 1 to %d are taken by their digests and the ledger\n",
			time.UnixMilli(s.Since).UTC().Format(time.RFC3339), s.First-1)
	}
	if s.Tenant != "" {
		fmt.Fprintf(&b, "only tenant %s: of the others it is known that their statements are in the ledger\n", safe(s.Tenant))
	}
	fmt.Fprintf(&b, "passed over: %d segments, of which only name and size were looked at, and %d epochs\n", s.Passed, s.PassedEpochs)
	return b.String()
}

// A scope is a [Scope] at work; nil is everything.
type scope struct {
	*Scope
	base *lake.Manifest // what the statements before First amount to
	// of is the epochs of the tenant; nil: all are.
	of map[string]bool
}

// narrow makes the scope of the run, once the statements are known to be what
// the ledger has. Where they are not, everything is judged: what they say of the
// past can then not be relied on.
func (v *verifier) narrow() error {
	if v.opts.Since.IsZero() && v.opts.Tenant == "" {
		return nil
	}
	if v.broken || v.fold == nil {
		v.note("the statements are damaged: nothing was passed over")
		return nil
	}
	if v.unsignedRemoval() {
		v.note("a statement that the ledger's owner has not signed for yet takes files away: nothing was passed over")
		return nil
	}
	s := &scope{Scope: &Scope{Tenant: v.opts.Tenant, First: 1}}
	if !v.opts.Since.IsZero() {
		s.Since = max(v.opts.Since.UnixMilli(), 1)
		i := slices.IndexFunc(v.statements, func(st statement) bool { return st.parsed.Time >= s.Since })
		if i < 0 {
			i = len(v.statements)
			v.note("nothing was stored since then")
		}
		s.First = uint64(i) + 1
	}
	if s.Tenant != "" {
		s.of = map[string]bool{}
		for uid, e := range v.fold.Epochs {
			if e.Tenant == s.Tenant {
				s.of[uid] = true
			}
		}
		if len(s.of) == 0 {
			return &Error{v.dir, fmt.Errorf("%w: %q", ErrNoTenant, s.Tenant), "`docket verify` without --tenant lists the epochs of all tenants"}
		}
	}
	if s.First > uint64(v.signed) { // what nobody has signed for is judged, whenever it was stored
		s.First = uint64(v.signed) + 1
	}
	var err error
	if s.base, err = v.foldTo(int(s.First) - 1); err != nil {
		return err // they were folded before
	}
	v.scope, v.report.Scope = s, s.Scope
	return nil
}

// foldTo makes the manifest of the first n statements.
func (v *verifier) foldTo(n int) (*lake.Manifest, error) {
	return lake.Fold(func(yield func([]byte, error) bool) {
		for i := range v.statements[:n] {
			if !yield(v.statements[i].raw, nil) {
				return
			}
		}
	})
}

// statement says whether what a statement added is judged.
func (s *scope) statement(number uint64) bool { return s == nil || number >= s.First }

// epoch says whether an epoch is.
func (s *scope) epoch(uid string) bool { return s == nil || s.of == nil || s.of[uid] }

// partial says whether only some of the rows of a commit are.
func (s *scope) partial() bool { return s != nil && s.of != nil }

// tenant says whether those of a tenant are.
func (s *scope) tenant(name string) bool { return !s.partial() || name == s.Tenant }

// row says whether one row is. One that calls itself another tenant's in an epoch
// of this one is looked at, too.
func (s *scope) row(e *event) bool {
	return s.statement(e.commit) && (s.tenant(e.tenant) || s.epoch(e.epoch))
}

// counted returns how many rows of a commit are.
func (s *scope) counted(st *lake.Statement) int64 {
	if !s.statement(st.Number) {
		return 0
	}
	var n int64
	for i := range st.Counts {
		if s.tenant(st.Counts[i].Tenant) {
			n += st.Counts[i].Count
		}
	}
	return n
}

// file says whether a segment can have rows that are.
func (s *scope) file(f *lake.File) bool {
	if s == nil {
		return true
	}
	if f.LastCommit < s.First {
		return false
	}
	for uid := range f.Epochs {
		if s.epoch(uid) {
			return true
		}
	}
	return false
}

// inScope returns the segments that are to be read, and looks at the names and
// sizes of the others.
func (v *verifier) inScope(all []named) []named {
	if v.scope == nil {
		return all
	}
	var read []named
	for _, f := range all {
		if v.scope.file(&f.File) {
			read = append(read, f)
			continue
		}
		if f.stubs == nil {
			v.scope.Passed++
		}
		place := Place{File: inLake(f.Path), Statement: f.statement}
		info, err := os.Lstat(v.inLakeDir(f.Path))
		switch {
		case err != nil:
			v.unread(place, err)
		case info.Size() != f.Bytes:
			v.problem(Damage, place, "it has %d bytes instead of %d", info.Size(), f.Bytes)
		}
	}
	return read
}

// begin gives the epochs what the statements before the scope say of them.
func (s *scope) begin(r *rows) {
	if s == nil {
		return
	}
	for uid, e := range s.base.Epochs {
		if !s.epoch(uid) {
			continue
		}
		p := r.epoch(uid)
		p.tenant, p.emitter, p.known = e.Tenant, e.Emitter, true
		p.stored, p.conflicts, p.quarantined = e.Stored.Clone(), e.Conflicts.Clone(), e.Quarantined.Clone()
		p.last.sequence = e.HeadSequence
		if !unhex(&p.last.fingerprint, e.HeadFingerprint) {
			p.last = event{} // only quarantined messages claim it
		}
		if c := e.Closed; c != nil {
			p.closed = &ending{last: c.LastSequence, by: EndClosed, place: Place{File: inLake(lake.ManifestPath)}}
			if c.By != store.ClosedByStop {
				p.closed.by = EndCrash
			}
			unhex(&p.closed.fingerprint, c.Fingerprint) // if not, it matches nothing
		}
	}
}

// passed says whether nothing is to be said of an epoch: it is another tenant's,
// or nothing came of it since.
func (s *scope) passed(p *epoch) bool {
	return s != nil && (!s.epoch(p.uid) || p.known && !p.touched)
}

// countPassed counts the epochs of which nothing was said.
func (v *verifier) countPassed() {
	if v.scope != nil {
		v.scope.PassedEpochs = max(len(v.fold.Epochs)-len(v.report.Epochs), 0)
	}
}
