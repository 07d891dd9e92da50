// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
)

// newest returns the newest statement, and its bytes.
func (h *house) newest() (*lake.Statement, []byte) {
	h.t.Helper()
	var last []byte
	for n := uint64(1); ; n++ {
		raw, err := lake.ReadStatement(filepath.Join(h.dir, lakeDir), n)
		if err != nil {
			break
		}
		last = raw
	}
	s, err := lake.ParseStatement(last)
	if err != nil {
		h.t.Fatal(err)
	}
	return s, last
}

// swapUnsigned puts a rewritten file into the place of a public one, by a statement
// that nobody signs.
func (h *house) swapUnsigned(path, column, value string) {
	h.t.Helper()
	good := h.read(path)
	h.rewrite(path, column, 1, value)
	bad := h.read(path)
	h.write(path, good)
	h.remove(path)
	to := strings.TrimSuffix(path, ".parquet")[:len(path)-len(".parquet")-1] + "f.parquet"
	h.write(to, bad)
	var file lake.File
	for n := uint64(1); file.Path == ""; n++ {
		raw, err := lake.ReadStatement(filepath.Join(h.dir, lakeDir), n)
		if err != nil {
			h.t.Fatal(err)
		}
		s, err := lake.ParseStatement(raw)
		if err != nil {
			h.t.Fatal(err)
		}
		if i := slices.IndexFunc(s.Added, func(f lake.File) bool { return inLake(f.Path) == path }); i >= 0 {
			file = s.Added[i]
		}
	}
	last, raw := h.newest()
	sum := sha256.Sum256(bad)
	forged := lake.Statement{
		Number: last.Number + 1, Prev: lake.Digest(raw), Time: last.Time + 1, StreamSeq: last.StreamSeq, Counts: []lake.Count{}, Epochs: map[string]lake.Progress{},
		Quarantined: []lake.Quarantine{}, Removed: []lake.Removed{{Path: file.Path, SHA256: file.SHA256, Reason: lake.ReasonCompaction}},
	}
	file.Path, file.SHA256, file.Bytes = strings.TrimPrefix(to, lakeDir+"/"), hex.EncodeToString(sum[:]), int64(len(bad))
	forged.Added = []lake.File{file}
	out, err := forged.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(statementPlace(forged.Number).File, out)
	h.refold()
}

// crashed lets the directory look as if its owner had been killed.
func (h *house) crashed() { h.write(runFile, []byte("{}")) }

// lives lets it look as if its owner lived, until the test ends.
func (h *house) lives() {
	h.t.Helper()
	f, err := os.OpenFile(filepath.Join(h.dir, ownerLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = f.Close() })
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		h.t.Fatal(err)
	}
}

// A statement that the owner has not signed for yet is believed by nobody: what it
// puts into the place of other files is judged by the rows, whatever is asked for.
func TestUnsignedStatement(t *testing.T) {
	for name, owner := range map[string]func(*house){"crashed": (*house).crashed, "lives": (*house).lives} {
		t.Run(name, func(t *testing.T) {
			for column, value := range map[string]string{
				"fingerprint": strings.Repeat("ab", 32), "decision": "modify", lake.ColumnRaw: `{"forged":1}`, "metadata_uid": "another",
			} {
				h := newCompacted(t)
				kept := h.read("ledger/checkpoint")
				h.swapUnsigned(h.public("api_activity", "accountId=acme"), column, value)
				owner(h)
				for _, o := range []Options{{}, {Key: h.key.Verifier(), Against: kept}, {Since: time.UnixMilli(h.now + 1_000_000)}, {Tenant: "globex"}, {Tenant: "acme"}} {
					h.expect(o, "damage", "row 1")
				}
			}
		})
	}
}

// What a crash kept from the ledger is judged by its rows, and what came before by
// the ledger.
func TestUnsignedFlush(t *testing.T) {
	h := newCompacted(t)
	h.open()
	c := h.begin("acme", "gw-3")
	h.outcomes(c, 3)
	h.store()
	h.crashed()
	for _, deep := range []bool{false, true} {
		if r := h.run(Options{Deep: deep}); r.Code() != CodeFine {
			t.Errorf("deep %v: %v", deep, r.Problems)
		}
	}
	h.rewrite(h.newestSegment(), "decision", 1, "modify")
	h.restate(h.newestSegment(), nil)
	for _, o := range []Options{{}, {Since: time.UnixMilli(h.now + 1_000_000)}} {
		h.expect(o, "damage", "row 1", "column decision")
	}
}

// Events that left by nobody's word are a problem; by the owner's, who is at it or
// has signed for it, they are not.
func TestUnsignedErasure(t *testing.T) {
	h := newCompacted(t)
	h.open()
	done, err := h.erasing("acme")(func(put func(uint64) error) error { return put(0) })
	if err != nil || done.Rows == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	h.close()
	h.crashed()
	h.expect(Options{Key: h.key.Verifier()}, "signature", "the ledger's owner has not signed for it")
	h.lives()
	if r := h.run(Options{}); r.Code() != CodeFine {
		t.Errorf("while its owner is at it: %v", r.Problems)
	}
}

// Names of statements that anybody can give to files cost no more than one history.
func TestStatementsFarApart(t *testing.T) {
	h := newFurnished(t)
	for n := uint64(1); n < 8; n++ {
		h.write(statementPlace(n*900_000).File, []byte("{}"))
	}
	r := h.run(Options{})
	if r.Code() != CodeFound || r.Statements > 1<<21 {
		t.Errorf("code %d, %d statements", r.Code(), r.Statements)
	}
}

// A living owner signs: one that does not for as long as it is waited for does not
// live, whoever holds its lock.
func TestUnsignedLeaves(t *testing.T) {
	h := newFurnished(t)
	old := map[string][]byte{"ledger/checkpoint": h.read("ledger/checkpoint"), keptPath: h.read(keptPath)}
	h.open()
	c := h.begin("acme", "gw-3")
	for range 3 {
		h.outcomes(c, 1)
		h.commit()
	}
	h.close()
	for path, b := range old {
		h.write(path, b)
	}
	h.lives()
	h.expect(Options{Key: h.key.Verifier(), Against: old[keptPath], patience: 10 * time.Millisecond}, "signature", "nobody has signed")
}
