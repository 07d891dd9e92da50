// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/regular"
)

func TestWhole(t *testing.T) {
	h := newFurnished(t)
	want := []string{
		"11 of 11, closed",
		"3 of 3 to the last one stored; end unknown",
		"6 of 6 to the crash; at most 503 ms of best_effort unknown",
		"6 of 6 to the signed head; end unknown",
	}
	check := func(alive bool) {
		t.Helper()
		for _, opts := range []Options{{}, {Deep: true}, {Key: h.key.Verifier()}, {Deep: true, Key: h.key.Verifier(), Workers: 1}} {
			var done, total int64
			opts.Progress = func(d, t int64) { done, total = d, t }
			r := h.run(opts)
			if r.Code() != CodeFine || len(r.Problems) > 0 {
				t.Fatalf("alive %v, deep %v: problems %v", alive, opts.Deep, r.Problems)
			}
			if diff := cmp.Diff(want, sortedLines(r)); diff != "" {
				t.Errorf("epochs (-want +got):\n%s", diff)
			}
			if r.Statements != 5 || r.Segments != 5 || r.Quarantines != 1 || r.Events != 26 || r.Ledger.Size != 5 || !r.Ledger.Verified {
				t.Errorf("report %+v", r)
			}
			if done != total || done != r.Bytes || done == 0 {
				t.Errorf("progress %d of %d, %d bytes", done, total, r.Bytes)
			}
		}
	}
	check(false)
	h.open()
	check(true)
}

func TestText(t *testing.T) {
	h := newFurnished(t)
	var b strings.Builder
	if err := h.run(Options{}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(b.String(), "\n")
	if first != "key taken from the data directory: this shows consistency, not authenticity" || !strings.HasSuffix(b.String(), "\nok\n") {
		t.Errorf("text:\n%s", b.String())
	}
	b.Reset()
	if err := h.run(Options{Key: h.key.Verifier()}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "not authenticity") {
		t.Errorf("text with a key:\n%s", b.String())
	}
	j, err := json.Marshal(h.run(Options{}))
	if err != nil || !strings.Contains(string(j), `"code":0`) || !strings.Contains(string(j), `"problems":[]`) {
		t.Errorf("JSON %s, %v", j, err)
	}
}

func TestNoData(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "nowhere")} {
		var hinted interface{ Hint() string }
		if r, err := Run(t.Context(), dir, Options{}); !errors.As(err, &hinted) || hinted.Hint() == "" {
			t.Errorf("%s: %+v, %v", dir, r, err)
		}
	}
	h := newHouse(t)
	h.close()
	if r := h.run(Options{}); r.Code() != CodeFine {
		t.Errorf("an empty house: %v", r.Problems)
	}
}

// TestFlippedByte flips one byte of every file that counts.
func TestFlippedByte(t *testing.T) {
	h := newFurnished(t)
	files := slices.Concat(h.files("lake/_hot", ".parquet"), h.files("lake/_commits", ".json"), h.files("lake/_quarantine", ".ndjson"),
		h.files("ledger/tile", ""), []string{"lake/_manifest.json", "ledger/checkpoint", "ledger/.state/treeState"})
	for _, path := range some(files) {
		good := h.read(path)
		offsets := []int{0, len(good) - 1}
		for range 2 {
			offsets = append(offsets, rand.IntN(len(good)))
		}
		for _, at := range offsets {
			bad := slices.Clone(good)
			bad[at] ^= byte(1 + rand.IntN(255))
			h.write(path, bad)
			for _, deep := range []bool{false, true} {
				r := h.run(Options{Deep: deep})
				if r.Code() != CodeFound {
					t.Errorf("%s, byte %d from %#x to %#x, deep %v: code %d", path, at, good[at], bad[at], deep, r.Code())
				}
				if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Where.File == path }) {
					t.Errorf("%s, byte %d, deep %v: not named in %v", path, at, deep, r.Problems)
				}
			}
		}
		h.write(path, good)
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

// TestTruncated takes a file's end, and its whole content, away.
func TestTruncated(t *testing.T) {
	h := newFurnished(t)
	for _, path := range some(slices.Concat(h.files("lake/_hot", ".parquet"), h.files("lake/_commits", ".json"), h.files("lake/_quarantine", ".ndjson"), []string{"lake/_manifest.json", "ledger/checkpoint"})) {
		good := h.read(path)
		for _, n := range []int{0, len(good) / 2, len(good) - 1} {
			h.write(path, good[:n])
			h.expect(Options{}, path)
		}
		h.write(path, append(slices.Clone(good), ' '))
		h.expect(Options{}, path)
		h.write(path, good)
	}
}

func (h *house) remove(path string) {
	h.t.Helper()
	if err := os.Remove(filepath.Join(h.dir, filepath.FromSlash(path))); err != nil {
		h.t.Fatal(err)
	}
}

func TestDeleted(t *testing.T) {
	h := newFurnished(t)
	keep := filepath.Join(t.TempDir(), "keep")
	copyDir(t, keep, h.dir)
	restore := func() {
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		copyDir(t, h.dir, keep)
	}
	for _, path := range some(slices.Concat(h.files("lake", ""), []string{"ledger/checkpoint", "ledger/.state/treeState", "ledger/tile/0/000.p/5", "ledger/tile/entries/000.p/5", "keys/ledger.vkey"})) {
		// Nothing is lost with an index: it is made again.
		if strings.HasSuffix(path, "/_lock") || strings.HasPrefix(path, "lake/_index/") {
			continue
		}
		h.remove(path)
		h.expect(Options{}, path, "missing")
		restore()
	}
	// All traces of the newest commit but the one that takes a key.
	newest := h.run(Options{}).Statements
	segment := h.newestSegment()
	h.remove(segment)
	h.remove(statementPlace(newest).File)
	h.expect(Options{}, "missing", "statement 5")
	h.refold()
	h.expect(Options{}, "statement 5", "the ledger has a leaf")
	restore()
	// The newest segment alone: what was in it is named.
	h.remove(segment)
	h.expect(Options{}, segment, "missing")
	restore()
	for _, dir := range []string{"lake", "ledger"} {
		if err := os.RemoveAll(filepath.Join(h.dir, dir)); err != nil {
			t.Fatal(err)
		}
		h.expect(Options{}, "missing")
		restore()
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

// TestRollback restores yesterday over today.
func TestRollback(t *testing.T) {
	h := newFurnished(t)
	yesterday := filepath.Join(t.TempDir(), "yesterday")
	copyDir(t, yesterday, h.dir)
	old := h.read("ledger/checkpoint")
	h.open()
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 2)
	h.commit()
	h.close()
	kept := h.read("ledger/checkpoint")
	for _, opts := range []Options{{Against: kept}, {Against: old}, {Against: old, Key: h.key.Verifier()}} {
		if r := h.run(opts); r.Code() != CodeFine || !*r.Ledger.Continues {
			t.Errorf("against a checkpoint of this ledger: %v", r.Problems)
		}
	}
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, h.dir, yesterday)
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("yesterday by itself: %v", r.Problems)
	}
	h.expect(Options{Against: kept}, "rolled_back", "covers 6 statements, the ledger has 5")
	h.expect(Options{Against: kept, Key: h.key.Verifier()}, "rolled_back")

	// A whole new history, by another key.
	other := newHouse(t).furnish()
	other.close()
	other.expect(Options{Against: kept}, "signature", "another key")
	other.expect(Options{Key: h.key.Verifier()}, "signature", "another key")
	// A kept checkpoint that was tampered with.
	h.expect(Options{Against: []byte(strings.Replace(string(kept), "\n6\n", "\n5\n", 1))}, "signature", "kept checkpoint")
	for _, none := range []string{"", "nonsense", "x\n1\nAA==\n"} {
		if _, err := Run(t.Context(), h.dir, Options{Against: []byte(none)}); !errors.Is(err, ErrNoCheckpoint) {
			t.Errorf("against %q: %v", none, err)
		}
	}
}

// TestInFlight looks at a statement that the ledger does not have yet.
func TestInFlight(t *testing.T) {
	h := newFurnished(t)
	h.open()
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 2)
	h.store()
	note := func(want string) {
		t.Helper()
		r := h.run(Options{Deep: true})
		if r.Code() != CodeFine || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("problems %v, notes %v", r.Problems, r.Notes)
		}
	}
	note("the owner of the directory is at it")
	h.close()
	h.expect(Options{}, "statement 6", "the ledger has no leaf")
	h.write("run.json", []byte("{}"))
	note("crashed")
	// No more than one can be on its way.
	h.open()
	h.outcomes(c, 1)
	h.store()
	h.close()
	h.expect(Options{}, "statement 6", "the ledger has no leaf")
}

func TestHoleAndConflict(t *testing.T) {
	h := newHouse(t)
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 6)
	h.stop(c)
	h.batch.Entries = slices.Delete(h.batch.Entries, 3, 5) // sequences 4 and 5
	h.commit()
	h.expect(Options{}, c.epoch, "sequences 4 to 5 are missing")
	if got := sortedLines(h.run(Options{})); !slices.Equal(got, []string{"6 of 8, closed"}) {
		t.Errorf("epochs %v", got)
	}

	h = newHouse(t)
	c = h.begin("acme", "gw-0")
	fork := *c
	h.outcomes(c, 2)
	h.outcomes(&fork, 1)
	h.commit()
	h.expect(Options{}, "conflict", c.epoch, "sequence 2")

	// An epoch of which nothing arrived, known from the start that closes it.
	h = newHouse(t)
	lost := h.begin("acme", "gw-0")
	h.outcomes(lost, 2)
	h.batch = store.Batch{}
	h.begin("acme", "gw-0", lost)
	h.commit()
	h.expect(Options{}, "missing", lost.epoch, "sequences 1 to 3 are missing")

	// Something behind the end.
	h = newHouse(t)
	c = h.begin("acme", "gw-0")
	h.stop(c)
	h.outcomes(c, 1)
	h.commit()
	h.expect(Options{}, "conflict", "ended at sequence 2, but sequence 3 is stored")

	// A hash chain that somebody else continues.
	h = newHouse(t)
	c = h.begin("acme", "gw-0")
	h.outcomes(c, 1)
	c.fingerprint = strings.Repeat("ab", 32)
	h.outcomes(c, 1)
	h.commit()
	h.expectDeep(Options{}, "the hash chain breaks", "sequence 3")

	// A head that is signed by nobody.
	h = newHouse(t)
	c = h.begin("acme", "gw-0")
	forged := h.head(c)
	forged["signature"] = strings.Replace(forged["signature"].(string), "A", "B", 1)
	forged["signature"] = "AAAA" + forged["signature"].(string)[4:]
	h.lifecycle(c, 99, map[string]any{"head": forged})
	h.commit()
	h.expect(Options{}, "signature", "head at sequence 1")
}

func TestQuarantineCounts(t *testing.T) {
	h := newHouse(t)
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 2)
	h.stop(c)
	bad := h.batch.Entries[1]
	h.batch.Entries = slices.Delete(h.batch.Entries, 1, 2)
	h.batch.Quarantined = []store.Quarantined{{Data: bad.Raw[:9], StreamSeq: bad.StreamSeq, Epoch: c.epoch, Sequence: 2, Reason: "undecodable"}}
	h.commit()
	for _, deep := range []bool{false, true} {
		r := h.run(Options{Deep: deep})
		if got := sortedLines(r); r.Code() != CodeFound || !slices.Equal(got, []string{"3 of 4 stored, 1 quarantined (2), closed"}) {
			t.Errorf("deep %v: %v, %v", deep, got, r.Problems)
		}
	}
}

func TestUnreadable(t *testing.T) {
	h := newFurnished(t)
	segment := h.newestSegment()
	open := func(path string, flag int) (*os.File, error) {
		if strings.HasSuffix(path, segment) {
			return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}
		return regular.Open(path, flag)
	}
	for _, deep := range []bool{false, true} {
		r := h.run(Options{Deep: deep, open: open})
		h.find(r, Unreadable, segment)
		if r.Code() != CodePartial {
			t.Errorf("code %d: %v", r.Code(), r.Problems)
		}
	}
}

// What has the name of a file, and never ends, or never begins, is damage.
func TestNoFiles(t *testing.T) {
	h := newFurnished(t)
	for _, file := range []string{h.newestSegment(), "lake/" + lake.ManifestPath, "lake/" + lake.StatementPath(2), "ledger/checkpoint", keptPath, ledgerVKey, formatFile} {
		good := h.read(file)
		h.remove(file)
		for _, instead := range []func(path string) error{
			func(path string) error { return syscall.Mkfifo(path, 0o600) },
			func(path string) error { return os.Symlink("/dev/zero", path) },
			func(path string) error { return os.Mkdir(path, 0o700) },
		} {
			if err := instead(filepath.Join(h.dir, file)); err != nil {
				t.Fatal(err)
			}
			h.expect(Options{}, "damage", file, "not a regular file")
			h.remove(file)
		}
		h.write(file, good)
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

// TestBesideOwner verifies again and again while the owner commits.
func TestBesideOwner(t *testing.T) {
	h := newFurnished(t)
	h.open()
	c := h.begin("acme", "gw-0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range commitsBeside {
			h.outcomes(c, 20)
			h.commit()
		}
	}()
	runs := 0
	for running := true; running; runs++ {
		select {
		case <-done:
			running = false
		default:
		}
		r := h.run(Options{Deep: runs%2 == 0})
		if r.Code() != CodeFine {
			t.Fatalf("run %d: %v", runs, r.Problems)
		}
	}
	if r := h.run(Options{}); r.Statements != 5+commitsBeside || r.Ledger.Size != 5+commitsBeside {
		t.Errorf("in the end %d statements, %d leaves", r.Statements, r.Ledger.Size)
	}
	t.Logf("%d runs", runs)
}

// TestRepeatedLeaf adds what the ledger has already, as a recovery may.
func TestRepeatedLeaf(t *testing.T) {
	h := newFurnished(t)
	h.open()
	for _, number := range []uint64{3, 5, 3} {
		if err := h.ledger.Add(t.Context(), h.read(statementPlace(number).File)); err != nil {
			t.Fatal(err)
		}
	}
	h.close()
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine || r.Ledger.Size != 8 {
		t.Errorf("%d leaves, problems %v", r.Ledger.Size, r.Problems)
	}
	// A leaf of what is not here is another matter.
	h.open()
	s, err := lake.ParseStatement(h.read(statementPlace(3).File))
	if err != nil {
		t.Fatal(err)
	}
	s.Time++
	raw, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ledger.Add(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	h.close()
	h.expect(Options{}, "the ledger has a leaf for a statement that is not here")
}

func TestCancelled(t *testing.T) {
	h := newFurnished(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Run(ctx, h.dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
}
