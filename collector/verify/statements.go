// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/internal/regular"
)

// A statement is one as it lies on disk, or in a table.
type statement struct {
	number uint64
	raw    []byte // nil when it is not there; empty when it is in a table
	digest [sha256.Size]byte
	parsed *lake.Statement // nil when it cannot be read as one
}

// removes reports whether events leave by it.
func (s *statement) removes() bool {
	leaves, err := lake.Removes(s.raw)
	return err == nil && leaves
}

func (v *verifier) lakePath() string { return filepath.Join(v.dir, lakeDir) }

// inLake names a file of the lake as problems do: relative to the data directory.
func inLake(path string) string { return lakeDir + "/" + path }

func statementPlace(number uint64) Place {
	return Place{File: inLake(lake.StatementPath(number)), Statement: number}
}

// A manifest is the file as it lies on disk.
type manifest struct {
	raw []byte
	err error
}

func (v *verifier) readManifest() manifest {
	raw, err := regular.ReadFile(filepath.Join(v.lakePath(), lake.ManifestPath))
	return manifest{raw, err}
}

// readStatements reads every statement that is there.
func (v *verifier) readStatements() {
	list, err := os.ReadDir(filepath.Join(v.lakePath(), lake.CommitsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.unread(Place{File: inLake(lake.CommitsDir)}, err)
		return
	}
	for _, d := range list { // sorted by name, so by number
		var number uint64
		name := d.Name()
		if _, err := fmt.Sscanf(name, "%d.json", &number); err != nil || !strings.HasSuffix(lake.StatementPath(number), "/"+name) {
			continue // what an interrupted commit left; nobody reads it
		}
		v.readStatement(number)
	}
	v.report.Statements = uint64(len(v.statements))
}

// readStatement appends statement number, and empty ones in place of those that
// are missing before it.
func (v *verifier) readStatement(number uint64) bool {
	raw, err := lake.ReadStatement(v.lakePath(), number)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	const reasonable = 1 << 20 // of numbers left out, by a name that anyone can give to a file
	next := uint64(len(v.statements)) + 1
	if number < next || number-next > reasonable-v.gaps {
		v.problem(Damage, statementPlace(number), "its number is none that could follow")
		return false
	}
	for ; next < number; next++ {
		v.gaps++
		v.broken = true
		v.problem(Missing, statementPlace(next), "the statement is missing")
		v.statements = append(v.statements, statement{number: next})
	}
	s := statement{number: number}
	if err != nil {
		v.broken = true
		v.unread(statementPlace(number), err)
	} else {
		s.raw, s.digest = raw, sha256.Sum256(raw)
		if s.parsed, err = lake.ParseStatement(raw); err != nil {
			v.broken = true
			v.problem(Damage, statementPlace(number), "%v", err)
		}
	}
	v.statements = append(v.statements, s)
	return true
}

// checkChain looks at what ties each statement to the one before it, and folds
// as far as they do.
func (v *verifier) checkChain() {
	for i := range v.statements {
		s := &v.statements[i]
		if s.parsed == nil {
			continue
		}
		if s.parsed.Number != s.number {
			v.broken = true
			v.problem(Damage, v.source.place(s.number), "it says that it is statement %d", s.parsed.Number)
		}
		prev := ""
		if i > 0 {
			if v.statements[i-1].raw == nil {
				continue // the missing one is told already
			}
			prev = hex.EncodeToString(v.statements[i-1].digest[:])
		}
		if s.parsed.Prev != prev {
			v.broken = true
			v.problem(Damage, v.source.place(s.number), "it names %.16q as the digest of the one before it, which is %.16q", s.parsed.Prev, prev)
		}
		if i > 0 && v.statements[i-1].parsed != nil && s.parsed.Time < v.statements[i-1].parsed.Time {
			v.problem(Damage, v.source.place(s.number), "its time is before that of the statement before it")
		}
	}
}

// checkManifest folds the statements and compares. The writer may leave the
// manifest behind by a few statements, but not when it stops.
func (v *verifier) checkManifest(have manifest) {
	place := Place{File: inLake(lake.ManifestPath)}
	if v.broken {
		return // there is nothing to compare with
	}
	var claimed *lake.Manifest
	switch {
	case errors.Is(have.err, fs.ErrNotExist):
		if len(v.statements) > 0 && v.state == ownerGone {
			v.problem(Missing, place, "the file is missing")
		}
	case have.err != nil:
		v.unread(place, have.err)
	default:
		var err error
		if claimed, err = lake.ParseManifest(have.raw); err != nil {
			v.problem(Damage, place, "%v", err)
		}
	}
	m := new(lake.Manifest)
	if claimed != nil && claimed.Number == 0 {
		v.compareManifest(place, have.raw, m)
	}
	for i := range v.statements {
		if err := m.Apply(v.statements[i].raw); err != nil {
			v.broken = true
			v.problem(Damage, statementPlace(v.statements[i].number), "%v", err)
			return
		}
		if claimed != nil && claimed.Number == m.Number {
			v.compareManifest(place, have.raw, m)
		}
	}
	v.fold = m
	switch {
	case claimed == nil:
	case claimed.Number > m.Number:
		v.problem(Missing, statementPlace(m.Number+1), "the manifest is of statement %d, the last one here is %d", claimed.Number, m.Number)
	case claimed.Number < m.Number && v.state == ownerGone:
		v.problem(Damage, place, "it is of statement %d, the last one is %d", claimed.Number, m.Number)
	}
}

func (v *verifier) compareManifest(place Place, raw []byte, m *lake.Manifest) {
	folded := *m // Encode sets Check, which is no part of the fold
	want, err := folded.Encode()
	if err != nil {
		v.problem(Damage, place, "%v", err)
		return
	}
	if !bytes.Equal(raw, want) {
		at := 0
		for at < len(raw) && at < len(want) && raw[at] == want[at] {
			at++
		}
		v.problem(Damage, place, "it is not the fold of %d statements: they differ from byte %d on", m.Number, at)
	}
}
