// SPDX-License-Identifier: Apache-2.0

package verify

import (
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
	named := map[string]bool{}
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
	}
	foreign, first := 0, ""
	for _, dir := range []string{lake.HotDir, lake.QuarantineDir} {
		list, err := os.ReadDir(filepath.Join(v.lakePath(), dir))
		if err != nil {
			continue // a missing file in it is told, and there are no others
		}
		for _, d := range list {
			if path := dir + "/" + d.Name(); !named[path] {
				if foreign++; first == "" {
					first = path
				}
			}
		}
	}
	if foreign > 0 {
		v.note("files that no statement names, and nobody reads: %d, such as %s", foreign, safe(inLake(first)))
	}
}
