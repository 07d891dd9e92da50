// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
)

// leave puts a statement by which rows leave, and into the ledger.
func (h *house) leave(do func(commit func(func(uint64) error) error) (retention.Left, error)) retention.Left {
	h.t.Helper()
	done, err := do(func(put func(uint64) error) error { return put(0) })
	if err != nil || done.Number == 0 {
		h.t.Fatalf("left %+v: %v", done, err)
	}
	h.add(done.Number)
	return done
}

// newLeft returns a house of which a tenant has expired whole, and one user's
// events of another were erased, and others came since.
func newLeft(t *testing.T) *house {
	t.Helper()
	h := newFurnished(t)
	h.open()
	h.compact()
	erased := h.leave(func(commit func(func(uint64) error) error) (retention.Left, error) {
		subject, err := retention.ParseSubject("user:alice")
		if err != nil {
			t.Fatal(err)
		}
		e := retention.Erasure{Selection: retention.Selection{Tenant: "acme", Subject: subject}}
		return h.lake.Erase(context.Background(), e, nil, commit, func(retention.Left) {})
	})
	h.now += 400 * 24 * time.Hour.Milliseconds()
	c := h.begin("acme", "gw-2")
	h.outcomes(c, 2)
	h.commit()
	policy, err := retention.ParsePolicy("forever", "tenant=globex 30d")
	if err != nil {
		t.Fatal(err)
	}
	expired := h.leave(func(commit func(func(uint64) error) error) (retention.Left, error) {
		return h.lake.Expire(context.Background(), retention.Terms{Policy: policy, Now: time.UnixMilli(h.now)}, commit)
	})
	if erased.Rows != 9 || expired.Rows != 12 {
		t.Fatalf("erased %+v, expired %+v", erased, expired)
	}
	h.close()
	return h
}

// stubsOf returns the file of stubs of a reason.
func (h *house) stubsOf(reason string) string {
	h.t.Helper()
	m, err := lake.Fold(lake.Statements(filepath.Join(h.dir, "lake"), 1))
	if err != nil {
		h.t.Fatal(err)
	}
	i := slices.IndexFunc(m.Stubs, func(f lake.StubFile) bool { return f.Reason == reason })
	if i < 0 {
		h.t.Fatalf("no stubs of %s", reason)
	}
	return inLake(m.Stubs[i].Path)
}

// What left is said, and all the rest holds.
func TestLeftIsWhole(t *testing.T) {
	h := newLeft(t)
	want := []string{
		"11 of 11 (9 erased), closed",
		"3 of 3 to the last one stored; end unknown",
		"3 of 3 to the last one stored; end unknown",
		"6 of 6 (6 expired by retention) to the crash; how much of best_effort is unknown was not judged; the event that said so has left, its end is the statements' word",
		"6 of 6 (6 expired by retention) to the last one stored; end unknown",
	}
	for _, opts := range []Options{{}, {Deep: true}, {Deep: true, Key: h.key.Verifier(), Workers: 1}} {
		r := h.run(opts)
		if r.Code() != CodeFine {
			t.Fatalf("deep %v: problems %v", opts.Deep, r.Problems)
		}
		if diff := cmp.Diff(want, sortedLines(r)); diff != "" {
			t.Errorf("epochs (-want +got):\n%s", diff)
		}
		if r.Erased != 9 || !slices.Equal(r.Expired, []Expired{{"tenant=globex 30d", 12}}) || r.Events != 8 {
			t.Errorf("%d events, %d erased, expired %v", r.Events, r.Erased, r.Expired)
		}
		var b strings.Builder
		if err := r.WriteText(&b); err != nil || !strings.Contains(b.String(), "\n12 expired by retention (tenant=globex 30d); their stubs are here\n9 erased; their stubs are here\n") {
			t.Errorf("text (%v):\n%s", err, b.String())
		}
	}
	if r := h.run(Options{Tenant: "acme"}); r.Code() != CodeFine || r.Erased != 9 || r.Expired != nil {
		t.Errorf("acme: %d erased, expired %v, problems %v", r.Erased, r.Expired, r.Problems)
	}
	for _, since := range []int64{h.times()[1], h.times()[3], h.now} {
		if r := h.run(Options{Since: time.UnixMilli(since), Deep: true}); r.Code() != CodeFine {
			t.Errorf("since %d: %v", since, r.Problems)
		}
	}
	for _, path := range h.files("lake", "") {
		if bytes.Contains(h.read(path), []byte("alice")) && strings.Contains(path, "accountId=acme") && !strings.Contains(path, "_hot") {
			t.Errorf("%s names the subject", path)
		}
	}
}

// Every file of stubs is evidence like every segment.
func TestLeftTampered(t *testing.T) {
	h := newLeft(t)
	for _, path := range h.files("lake/_stubs", ".parquet") {
		good := h.read(path)
		flipped := slices.Clone(good)
		flipped[rand.IntN(len(good))] ^= 1 << rand.IntN(8)
		for _, bad := range [][]byte{flipped, good[:len(good)-1]} {
			h.write(path, bad)
			h.expect(Options{}, path)
		}
		h.remove(path)
		h.expect(Options{}, "missing", path)
		h.write(path, good)
	}
	more := "lake/_stubs/0199c1f2-7a10-7c3e-9b1d-000000000000.parquet"
	h.write(more, h.read(h.stubsOf(lake.ReasonErasure)))
	h.expect(Options{}, more, "sequence 2", "no statement names these stubs")
	h.remove(more)
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

// TestLeftForged does what takes the ledger's key, too.
func TestLeftForged(t *testing.T) {
	h := newLeft(t)
	keep := filepath.Join(t.TempDir(), "keep")
	copyDir(t, keep, h.dir)
	erased, expired := h.stubsOf(lake.ReasonErasure), h.stubsOf(lake.ReasonRetention)
	expect := h.expect
	forge := func(path string, change func(*lake.Statement), phrases ...string) {
		t.Helper()
		h.restate(path, change)
		h.resign()
		expect(Options{Key: h.key.Verifier()}, phrases...)
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		copyDir(t, h.dir, keep)
	}
	// Rows leave without stubs.
	forge(erased, func(s *lake.Statement) { s.Stubs = nil }, "sequences 2 to 10 are missing")
	forge(erased, func(s *lake.Statement) { s.Stubs = nil }, "it removes files of 9 events, and puts 0 and stubs of 0")
	forge(expired, func(s *lake.Statement) { s.Stubs[0].Count++ }, expired, "the statement says")
	forge(expired, func(s *lake.Statement) { s.Stubs[0].Rule = "tenant=globex 500d" }, expired, "before its time")
	// One cell of a stub is another.
	for column, value := range map[string]string{
		"epoch": "0199c1f2-7a10-7c3e-9b1d-000000999999", "sequence": "4711", "class_uid": "4711", "tenant": "forged", "time": "4711",
		"fingerprint": strings.Repeat("ab", 32), lake.ColumnCommit: "2", lake.ColumnPos: "4711",
	} {
		h.rewrite(erased, column, 4, value)
		phrase, shallow := map[string]string{lake.ColumnCommit: erased, "epoch": "is missing", "sequence": "is missing"}[column]
		if expect = h.expectDeep; shallow {
			expect = h.expect
		}
		forge(erased, nil, phrase)
	}
	expect = h.expectDeep
	// An event beside the stubs tells which of them has another fingerprint.
	h.rewrite(erased, "fingerprint", 8, strings.Repeat("ab", 32))
	forge(erased, nil, "sequence 11", "the hash chain breaks")
}
