// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/collector/store"
)

// A Manifest is what all statements up to one amount to. It can always be made
// again from them; the file saves the work.
type Manifest struct {
	Number    uint64 `json:"number"`    // of the last statement; 0 for an empty lake
	Statement string `json:"statement"` // its digest
	Time      int64  `json:"time"`
	StreamSeq uint64 `json:"stream_seq"`
	Fence     uint64 `json:"fence,omitempty"` // see [Statement]

	// Files are the segments, by FirstCommit and then by path; see [Runs].
	Files       []File           `json:"files"`
	Quarantined []Quarantine     `json:"quarantined"`
	Epochs      map[string]Epoch `json:"epochs"`
	// Stubs stand for the rows that left, by FirstCommit and then by path.
	Stubs []StubFile `json:"stubs,omitempty"`

	// Check is the digest of the manifest with an empty Check. It tells damage
	// from truth; against someone who can count there is verify, which makes
	// the manifest again from the statements.
	Check string `json:"check"`
}

// An Epoch is [store.Epoch] as the manifest has it.
type Epoch struct {
	Tenant          string          `json:"tenant"`
	Emitter         string          `json:"emitter"`
	Stored          store.Intervals `json:"stored,omitempty"`
	Quarantined     store.Intervals `json:"quarantined,omitempty"`
	Conflicts       store.Intervals `json:"conflicts,omitempty"`
	HeadSequence    int64           `json:"head_sequence"`
	HeadFingerprint string          `json:"head_fingerprint"`
	Closed          *store.Closed   `json:"closed,omitempty"`
}

// Fold makes the manifest of statements, which begin with number 1. On an error
// the manifest is that of the statements before the one that does not fit.
func Fold(statements func(yield func([]byte, error) bool)) (*Manifest, error) {
	m := new(Manifest)
	for b, err := range statements {
		if err != nil {
			return m, err
		}
		if err := m.Apply(b); err != nil {
			return m, err
		}
	}
	return m, nil
}

// Apply adds the next statement, given by its bytes. It fails with [ErrCorrupt]
// and changes nothing when the statement does not follow the last one.
func (m *Manifest) Apply(b []byte) error {
	s, err := ParseStatement(b)
	if err != nil {
		return fmt.Errorf("%s: %w", StatementPath(m.Number+1), err)
	}
	return m.apply(s, Digest(b))
}

func (m *Manifest) apply(s *Statement, digest string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", StatementPath(m.Number+1), ErrCorrupt, fmt.Sprintf(format, args...))
	}
	if s.Number != m.Number+1 {
		return fail("it has number %d", s.Number)
	}
	if s.Prev != m.Statement {
		return fail("it follows statement %q, the one before it is %q", s.Prev, m.Statement)
	}
	if s.Fence < m.Fence {
		return fail("it has fence %d, the one before it has %d", s.Fence, m.Fence)
	}
	files, err := without(m.Files, s.Removed)
	if err != nil {
		return fail("%v", err)
	}
	if err := checkStubs(s); err != nil {
		return fail("%v", err)
	}
	m.Files = with(files, s.Added)
	m.Stubs = withStubs(m.Stubs, s.Stubs)
	m.Quarantined = append(m.Quarantined, s.Quarantined...)
	if m.Epochs == nil {
		m.Epochs = make(map[string]Epoch)
	}
	for uid, p := range s.Epochs {
		m.Epochs[uid] = m.Epochs[uid].after(p)
	}
	m.Number, m.Statement, m.Time, m.StreamSeq, m.Fence, m.Check = s.Number, digest, s.Time, s.StreamSeq, s.Fence, ""
	return nil
}

// without returns files less those that were removed. The list is a new one if
// it is another: readers still hold the old one.
func without(files []File, removed []Removed) ([]File, error) {
	if len(removed) == 0 {
		return files, nil
	}
	digests := make(map[string]string, len(removed))
	for _, r := range removed {
		if r.Reason != ReasonCompaction && r.Reason != ReasonRetention && r.Reason != ReasonErasure {
			return nil, fmt.Errorf("it removes %s for a reason that is none: %.40q", r.Path, r.Reason)
		}
		digests[r.Path] = r.SHA256
	}
	left := make([]File, 0, len(files))
	for i := range files {
		if digest, ok := digests[files[i].Path]; ok && digest == files[i].SHA256 {
			delete(digests, files[i].Path)
			continue
		}
		left = append(left, files[i])
	}
	for path := range digests {
		return nil, fmt.Errorf("it removes %s, which is not there", path)
	}
	return left, nil
}

// with returns files and added, in order. What is behind the last file is
// appended to the same list, else the list is a new one.
func with(files, added []File) []File {
	for i := range added {
		if n := len(files); n > 0 && byCommit(files[n-1], added[i]) > 0 {
			files = slices.Concat(files, added[i:])
			slices.SortFunc(files, byCommit)
			return files
		}
		files = append(files, added[i])
	}
	return files
}

// after returns e with p added. Its sets are new.
func (e Epoch) after(p Progress) Epoch {
	if e.Tenant == "" {
		e.Tenant = p.Tenant
	}
	if e.Emitter == "" {
		e.Emitter = p.Emitter
	}
	e.Stored = store.Union(e.Stored, p.Stored)
	e.Quarantined = store.Union(e.Quarantined, p.Quarantined)
	e.Conflicts = store.Union(e.Conflicts, p.Conflicts)
	if p.HeadSequence > e.HeadSequence {
		e.HeadSequence, e.HeadFingerprint = p.HeadSequence, p.HeadFingerprint
	}
	if p.Closed != nil && e.Closed == nil {
		e.Closed = p.Closed
	}
	return e
}

// Encode returns the canonical bytes of m and sets Check.
func (m *Manifest) Encode() ([]byte, error) {
	m.Check = ""
	// An empty list is [], whichever way it came to be empty.
	m.Files = append([]File{}, m.Files...)
	m.Quarantined = append([]Quarantine{}, m.Quarantined...)
	b, err := encode(m)
	if err != nil {
		return nil, err
	}
	m.Check = Digest(b)
	return encode(m)
}

// ParseManifest reads a manifest. It fails with [ErrCorrupt] on anything but
// what Encode returned.
func ParseManifest(b []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := decode(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestPath, err)
	}
	bare := *m
	bare.Check = ""
	c, err := encode(&bare)
	if err != nil {
		return nil, err
	}
	if Digest(c) != m.Check {
		return nil, fmt.Errorf("%s: %w: its digest is not that of its content", ManifestPath, ErrCorrupt)
	}
	return m, nil
}

// Rows returns how many events the lake holds.
func (m *Manifest) Rows() int64 {
	var n int64
	for i := range m.Files {
		n += m.Files[i].Rows
	}
	return n
}

// snapshot returns a manifest to which Apply may add without changing m. The
// lists share their memory: what is appended lies beyond the end of m's.
func (m *Manifest) snapshot() *Manifest {
	s := *m
	s.Epochs = maps.Clone(m.Epochs)
	return &s
}

// state returns e for the contract, sharing nothing.
func (e *Epoch) state() *store.Epoch {
	s := &store.Epoch{
		Tenant: e.Tenant, Emitter: e.Emitter,
		Stored: e.Stored.Clone(), Quarantined: e.Quarantined.Clone(), Conflicts: e.Conflicts.Clone(),
		HeadSequence: e.HeadSequence, HeadFingerprint: e.HeadFingerprint,
	}
	if e.Closed != nil {
		c := *e.Closed
		s.Closed = &c
	}
	return s
}
