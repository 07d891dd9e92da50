// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/collector/lake"
)

// checkFormat looks at the file that says what the directory is.
func (v *verifier) checkFormat() {
	place := Place{File: formatFile}
	raw, err := readShort(filepath.Join(v.dir, formatFile))
	if err != nil {
		v.unread(place, err)
		return
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(raw))); err != nil || n < 1 {
		v.problem(Damage, place, "%.40q is no number of a format", strings.TrimSpace(string(raw)))
	}
}

// noteForeign counts the files among those of the lake that no statement ever
// named. Nobody reads them. A living owner may be about to name some.
func (v *verifier) noteForeign() {
	if v.state == ownerLives {
		return
	}
	named, left := map[string]bool{}, v.state == ownerGone && !v.broken
	for i := range v.statements {
		s := v.statements[i].parsed
		if s == nil {
			continue
		}
		for j := range s.Added {
			named[s.Added[j].Path] = true
		}
		for j := range s.Quarantined {
			named[s.Quarantined[j].Path] = true
		}
		for j := range s.Stubs {
			named[s.Stubs[j].Path] = true
		}
	}
	foreign, first := 0, ""
	// What cannot be read holds no file of the lake, or that is told.
	_ = fs.WalkDir(os.DirFS(v.lakePath()), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || named[path]:
		case d.IsDir() && strings.HasPrefix(path, "_") && path != lake.HotDir && path != lake.QuarantineDir && path != lake.StubsDir:
			return fs.SkipDir
		case !d.IsDir() && left && strings.HasPrefix(path, lake.StubsDir+"/"):
			// Who stops cleanly leaves none: it is to look as if a statement had it.
			v.problem(Damage, v.unnamedStubs(path), "no statement names these stubs")
		case !d.IsDir() && strings.Contains(path, "/"):
			if foreign++; first == "" {
				first = path
			}
		}
		return nil
	})
	if foreign > 0 {
		v.note("files that no statement names, and nobody reads: %d, such as %s", foreign, safe(inLake(first)))
	}
}
