// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

// An index that was rewritten, checksums and all, hides events from look-ups and
// takes nothing away: deep says so. One that is damaged hides nothing, as nobody
// believes it.
func TestForgedIndex(t *testing.T) {
	h := newEmpty(t, filepath.Join(t.TempDir(), "data"))
	h.open()
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 5)
	h.commit()
	h.close()
	l, err := lake.Open(filepath.Join(h.dir, "lake"), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range l.Scan(t.Context(), store.Query{Trace: "of none"}) { // makes the index
		t.Error("an event of no trace")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	paths := h.files("lake/"+lake.IndexDir, ".idx")
	if len(paths) != 1 {
		t.Fatalf("indexes are %v", paths)
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Fatalf("an honest index: %v", r.Problems)
	}
	path := filepath.Join(h.dir, paths[0])
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The row of the last event in the first block is another.
	le := binary.LittleEndian
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	end := 72 + le.Uint32(b[12:])
	block := b[end : end+le.Uint32(b[72+8:])]
	block[len(block)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("a damaged index: %v", r.Problems)
	}
	le.PutUint32(b[72+12:], crc(block))
	le.PutUint32(b[64:], crc(b[72:end]))
	le.PutUint32(b[68:], crc(b[:68]))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFound || len(r.Problems) != 1 || r.Problems[0].Where.File != paths[0] {
		t.Errorf("a forged index: %v", r.Problems)
	}
}
