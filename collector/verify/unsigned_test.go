// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
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
				for _, o := range some([]Options{{}, {Key: h.key.Verifier(), Against: kept}, {Since: time.UnixMilli(h.now + 1_000_000)}, {Tenant: "globex"}, {Tenant: "acme"}}) {
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

// Events that left by nobody's word are a problem, whoever seems to be at it; by the
// owner's, who has signed a warrant or for the statement, they are not.
func TestUnsignedErasure(t *testing.T) {
	for _, thief := range []bool{true, false} {
		h := newCompacted(t)
		h.thief = thief
		h.open()
		done, err := h.erasing("acme")(func(put func(uint64) error) error { return put(0) })
		if err != nil || done.Rows == 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		h.close()
		h.crashed()
		for _, owner := range []func(){h.crashed, h.lives} {
			owner()
			o := Options{Key: h.key.Verifier(), patience: 10 * time.Millisecond}
			if thief {
				h.expect(o, "signature", "neither for it nor a warrant")
				if notes := h.run(o).Notes; slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "next start") }) {
					t.Errorf("notes %q", notes)
				}
			} else if r := h.run(o); r.Code() != CodeFine {
				t.Errorf("by its owner: %v", r.Problems)
			}
		}
		if thief {
			continue
		}
		// A warrant is of one statement and by one key.
		good, bad := h.read(warrantPath), []byte(strings.Replace(string(h.read(warrantPath)), "statement ", "statement 0", 1))
		other := newCompacted(t)
		other.open()
		if err := other.ledger.Warrant([]byte("another")); err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{bad, other.read(warrantPath), good[:len(good)-1], {}} {
			h.write(warrantPath, b)
			h.expect(Options{patience: 10 * time.Millisecond}, "signature", "neither for it nor a warrant")
		}
	}
}

// A living owner signs while verify looks: the next warrant may have taken the place
// of the one that it needs.
func TestUnsignedErasureBesideItsOwner(t *testing.T) {
	h := newCompacted(t)
	h.open()
	var number uint64
	done, err := h.erasing("acme")(func(put func(uint64) error) error { return put(0) })
	if number = done.Number; err != nil || number == 0 {
		t.Fatal(number, err)
	}
	v := &verifier{dir: h.dir, opts: Options{patience: time.Minute}, state: ownerLives, vkey: h.key.Verifier(), report: new(Report)}
	v.readStatements()
	h.add(number)
	if err := h.ledger.Warrant([]byte("the next")); err != nil {
		t.Fatal(err)
	}
	v.signed = len(v.statements) - 1 // as of the ledger before
	if v.checkUnsignedLeft(t.Context()); len(v.report.Problems) > 0 {
		t.Error(v.report.Problems)
	}
}

var errKilled = errors.New("killed")

// An owner that is killed at any point of an erasure leaves what verify finds
// nothing wrong with, before the next start and after it; and that goes on.
func TestKilledWhileErasing(t *testing.T) {
	for n := rand.IntN(slower); ; n += slower {
		h := newCompacted(t)
		left, points := -1, []string{}
		h.options.Fault = func(point string) error {
			if left == 0 {
				return errKilled // and for all that comes after it, as for a process that is gone
			}
			if left > 0 {
				left--
				points = append(points, point)
			}
			return nil
		}
		h.open()
		left = n
		_, err := h.erasing("acme")(func(put func(uint64) error) error {
			number := h.lake.Manifest().Number
			if err := put(0); err != nil {
				return err
			}
			if err := h.options.Fault("ledger begin"); err != nil {
				return err
			}
			h.add(number + 1)
			return h.options.Fault("ledger end")
		})
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		killed := err != nil
		_ = h.lake.Close()
		if err := h.ledger.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.lake = nil
		h.crashed()
		for _, o := range []Options{{Key: h.key.Verifier()}, {Deep: true}} {
			if r := h.run(o); r.Code() != CodeFine {
				t.Errorf("killed behind %q: %v", points, r.Problems)
			}
		}
		left = -1
		h.start()
		h.close()
		h.remove(runFile)
		r := h.run(Options{Deep: true})
		if r.Code() != CodeFine || r.Statements != r.Ledger.Size {
			t.Errorf("killed behind %q, and after a start: %v, %d statements, %d leaves", points, r.Problems, r.Statements, r.Ledger.Size)
		}
		if !killed {
			for _, want := range []string{"warrant begin", "warrant written", "statement begin", "statement renamed", "ledger begin", "ledger end", "remove begin"} {
				if !slices.Contains(points, want) {
					t.Errorf("point %q was never reached", want)
				}
			}
			return
		}
	}
}

// start opens the house as a docket does.
func (h *house) start() {
	h.t.Helper()
	l, err := ledger.Open(h.t.Context(), filepath.Join(h.dir, "ledger"), h.key, ledger.Options{
		Statements: lake.Statements(filepath.Join(h.dir, lakeDir), 1), Kept: filepath.Join(h.dir, keptPath),
		Removes: lake.Removes, Warrants: filepath.Join(h.dir, warrantPath),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ledger = l
	if h.lake, err = lake.Open(filepath.Join(h.dir, lakeDir), h.options); err != nil {
		h.t.Fatal(err)
	}
	if _, err := l.Ensure(h.t.Context(), h.lake.Statements(1)); err != nil {
		h.t.Fatal(err)
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
