// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

var tamperSeed = flag.Uint64("tamper.seed", rand.Uint64(), "of what the tests of damage choose")

func tamperDice(t testing.TB, stream uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d (-tamper.seed)", *tamperSeed)
	return rand.New(rand.NewPCG(*tamperSeed, stream))
}

// small is one house with one of everything in as few bytes as that takes: public
// files of two tenants, what is in quarantine, stubs, and a hot segment.
var small made

// newSmall returns a copy of it, closed.
func newSmall(t *testing.T) *house {
	t.Helper()
	return small.copy(t, func(dir string) *house {
		h := newEmpty(t, dir)
		h.furnishSmall()
		return h
	})
}

func (h *house) furnishSmall() {
	h.t.Helper()
	h.open()
	a, b := h.begin("acme", "gw-0"), h.begin("globex", "gw-0")
	h.outcomes(a, 2)
	h.outcomes(b, 1)
	h.stop(a)
	h.batch.Quarantined = []store.Quarantined{
		{Subject: "docket.activity.x", Data: []byte("garbage"), StreamSeq: 99, Reason: "undecodable"},
		{Subject: "docket.activity.y", Data: []byte("other garbage"), StreamSeq: 100, Reason: "undecodable"},
	}
	h.stream = 100
	h.commit()
	h.compact()
	h.leave(h.erasing("globex"))
	h.outcomes(b, 1)
	h.commit()
	h.close()
}

// erasing lets the events of alice leave.
func (h *house) erasing(tenant string) func(func(func(uint64) error) error) (retention.Left, error) {
	return func(commit func(func(uint64) error) error) (retention.Left, error) {
		subject, err := retention.ParseSubject("user:alice")
		if err != nil {
			return retention.Left{}, err
		}
		e := retention.Erasure{Selection: retention.Selection{Tenant: tenant, Subject: subject}}
		return h.lake.Erase(context.Background(), e, nil, commit, func(retention.Left) {})
	}
}

// data are the files whose digests statements have; each is judged by itself.
func (h *house) data() []string {
	return slices.Concat(h.files("lake", ".parquet"), h.files("lake/_quarantine", ".ndjson"))
}

// record are the files that hold each other: what is changed there may change what
// is said of others.
func (h *house) record() []string {
	return slices.Concat(h.files("lake/_commits", ".json"), h.files("ledger/tile", ""),
		[]string{"lake/_manifest.json", "ledger/checkpoint", "ledger/.state/treeState", keptPath})
}

// superseded says of a tile whether a wider one has all of it: then it may go.
func (h *house) superseded(path string) bool {
	dir := filepath.ToSlash(filepath.Dir(path)) + "/"
	return strings.HasSuffix(dir, ".p/") && slices.ContainsFunc(h.files("ledger/tile", ""), func(o string) bool {
		return strings.HasPrefix(o, dir) && len(h.read(o)) > len(h.read(path))
	})
}

// some returns every so many of all, from one of the first on.
func some[T any](all []T) []T {
	var part []T
	for i := rand.IntN(min(slower, len(all))); i < len(all); i += slower {
		part = append(part, all[i])
	}
	return part
}

// A change makes another file of one. It returns nil where there is none.
type change func(good []byte) []byte

// A campaign is changes to the files of a house, each of which verify has to find.
type campaign struct {
	t    *testing.T
	from *house
	jobs []map[string]change // files of one run
	n    int
}

// alone makes a run of one change.
func (c *campaign) alone(path string, do change) {
	c.jobs = append(c.jobs, map[string]change{path: do})
	c.n++
}

// together makes runs of changes to data files, one to each file and run: what is
// wrong with one says nothing about another, so each has to be named as if it were
// alone.
func (c *campaign) together(by map[string][]change) {
	for i, more := 0, true; more; i++ {
		job := make(map[string]change)
		for path, list := range by {
			if i < len(list) {
				job[path] = list[i]
				c.n++
			}
		}
		if more = len(job) > 0; more {
			c.jobs = append(c.jobs, job)
		}
	}
}

// run does all of it, on a copy of the house for each processor.
func (c *campaign) run() {
	c.t.Helper()
	jobs := make(chan map[string]change)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		h := *c.from
		h.dir = filepath.Join(c.t.TempDir(), "data")
		copyDir(c.t, h.dir, c.from.dir)
		wg.Go(func() {
			for job := range jobs {
				h.tamper(job)
			}
			if r, err := Run(c.t.Context(), h.dir, Options{Deep: true}); err != nil || r.Code() != CodeFine {
				c.t.Errorf("afterwards: %v, %v", r, err)
			}
		})
	}
	for _, job := range c.jobs {
		if c.t.Failed() {
			break
		}
		jobs <- job
	}
	close(jobs)
	wg.Wait()
	c.t.Logf("%d changes in %d runs", c.n, len(c.jobs))
}

// tamper changes files, looks that each is named with what is wrong, and puts them
// back. It may run on a goroutine of its own.
func (h *house) tamper(job map[string]change) {
	good := make(map[string][]byte)
	for path, do := range job {
		full := filepath.Join(h.dir, filepath.FromSlash(path))
		b, err := os.ReadFile(full)
		if err == nil {
			good[path] = b
			err = os.WriteFile(full, do(slices.Clone(b)), 0o600)
		}
		if err != nil {
			h.t.Errorf("%s: %v", path, err)
			return
		}
	}
	r, err := Run(h.t.Context(), h.dir, Options{Workers: 1})
	if err != nil {
		h.t.Errorf("%v: %v", good, err)
		return
	}
	for path, b := range good {
		full := filepath.Join(h.dir, filepath.FromSlash(path))
		if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return names(&p, path) }) || r.Code() != CodeFound {
			bad, _ := os.ReadFile(full)
			at := 0
			for at < min(len(b), len(bad)) && b[at] == bad[at] {
				at++
			}
			h.t.Errorf("%s, of %d bytes, now %d, another one from byte %d on: code %d, not named in %v", path, len(b), len(bad), at, r.Code(), r.Problems)
		}
		if err := os.WriteFile(full, b, 0o600); err != nil {
			h.t.Errorf("%v", err)
		}
	}
}

// names says whether a problem is the one with a file. The log's own note of its size
// is no evidence: with another size in it, it is the log that what is signed
// contradicts.
func names(p *Problem, path string) bool {
	if path == "ledger/.state/treeState" && p.Kind == RolledBack {
		return true
	}
	return p.Where.File == path && p.Kind != Unreadable
}

func flip(at int, bit uint) change {
	return func(b []byte) []byte {
		b[at] ^= 1 << bit
		return b
	}
}

func cut(n int) change { return func(b []byte) []byte { return b[:n] } }

// flips changes, in every so many bytes of each file, so many bits, each in a run
// of its own.
func flips(t *testing.T, rng *rand.Rand, every, bits int) {
	h := newSmall(t)
	c := &campaign{t: t, from: h}
	each := func(path string, do func(change)) {
		size := len(h.read(path))
		for at := rng.IntN(min(every, size)); at < size; at += every {
			for _, bit := range rng.Perm(8)[:bits] {
				do(flip(at, uint(bit)))
			}
		}
	}
	by := make(map[string][]change)
	for _, path := range h.data() {
		each(path, func(do change) { by[path] = append(by[path], do) })
	}
	c.together(by)
	for _, path := range h.record() {
		each(path, func(do change) { c.alone(path, do) })
	}
	c.run()
}

// truncations cuts each file off at every so many lengths.
func truncations(t *testing.T, rng *rand.Rand, every int) {
	h := newSmall(t)
	c := &campaign{t: t, from: h}
	by := make(map[string][]change)
	for _, path := range h.data() {
		for n := rng.IntN(every); n < len(h.read(path)); n += every {
			by[path] = append(by[path], cut(n))
		}
	}
	c.together(by)
	for _, path := range h.record() {
		size := len(h.read(path))
		for n := rng.IntN(min(every, size)); n < size; n += every {
			c.alone(path, cut(n))
		}
	}
	c.run()
}

// A bit of every 400th byte; test-all changes one of every eighth, torture all of all.
func TestFlips(t *testing.T) { flips(t, tamperDice(t, 1), 400*slower, 1) }

func TestTruncations(t *testing.T) { truncations(t, tamperDice(t, 2), 800*slower) }

// Every byte of the ledger's public key counts, but for the newline; a third is tried.
func TestKeyDamaged(t *testing.T) {
	h := newSmall(t)
	size := len(h.read(ledgerVKey)) - 1
	c := &campaign{t: t, from: h}
	rng := tamperDice(t, 3)
	for at := rng.IntN(3 * slower); at < size; at += 3 * slower {
		c.alone(ledgerVKey, flip(at, rng.UintN(8)))
		c.alone(ledgerVKey, cut(at))
	}
	c.run()
}

// named wants both kinds of verification to find something in each of the files.
func (h *house) named(what string, opts Options, paths ...string) {
	h.t.Helper()
	for _, opts.Deep = range []bool{false, true} {
		r := h.run(opts)
		for _, path := range paths {
			if r.Code() != CodeFound || !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Where.File == path }) {
				h.t.Errorf("%s, deep %v: code %d, %s is not named in %v", what, opts.Deep, r.Code(), path, r.Problems)
			}
		}
	}
}

func (h *house) rename(from, to string) {
	h.t.Helper()
	if err := os.Rename(filepath.Join(h.dir, filepath.FromSlash(from)), filepath.Join(h.dir, filepath.FromSlash(to))); err != nil {
		h.t.Fatal(err)
	}
}

// Any two files of a kind change places.
func TestSwaps(t *testing.T) {
	h := newSmall(t)
	n := 0
	for _, kind := range [][]string{h.data(), h.files("lake/_commits", ".json"), h.files("ledger/tile/0", ""), h.files("ledger/tile/entries", "")} {
		if len(kind) < 2 {
			t.Fatalf("nothing to swap with %v", kind)
		}
		for i, a := range kind {
			for _, b := range kind[:i] {
				good := [2][]byte{h.read(a), h.read(b)}
				h.write(a, good[1])
				h.write(b, good[0])
				what := fmt.Sprintf("%s and %s swapped", a, b)
				if strings.HasPrefix(a, "ledger/") {
					h.find(h.run(Options{}), "and something in 1 more widths of this tile", "ledger/tile")
				} else {
					h.named(what, Options{}, a, b)
				}
				h.write(a, good[0])
				h.write(b, good[1])
				n++
			}
		}
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
	t.Logf("%d swaps", n)
}

// Each file is deleted, and gets another name, in its directory and with its
// directory.
func TestRenames(t *testing.T) {
	h := newSmall(t)
	for _, path := range some(append(slices.Concat(h.data(), h.record()), ledgerVKey)) {
		if h.superseded(path) {
			continue
		}
		base := filepath.Base(path)
		to := strings.TrimSuffix(path, base) + "0" + base[1:] + "0" + filepath.Ext(base)
		h.rename(path, to)
		h.named("renamed to "+to, Options{}, path)
		h.rename(to, path)
		good := h.read(path)
		h.remove(path)
		h.named("deleted", Options{}, path)
		h.write(path, good)
	}
	public := h.public("api_activity", "accountId=acme")
	dir := filepath.ToSlash(filepath.Dir(filepath.Dir(public)))
	h.rename(dir, strings.Replace(dir, "acme", "evil", 1))
	h.named("the tenant's directory renamed", Options{}, public)
	h.rename(strings.Replace(dir, "acme", "evil", 1), dir)
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

// Rows and messages change places within their files, which stay well-formed.
func TestReordered(t *testing.T) {
	h := newSmall(t)
	public := h.public("api_activity", "accountId=acme")
	good := h.read(public)
	h.cells(public, func(_ string, cells []string) []string { slices.Reverse(cells); return cells })
	if bytes.Equal(good, h.read(public)) {
		t.Fatal("nothing changed")
	}
	h.named("rows reversed", Options{}, public)
	h.restate(public, nil)
	h.expect(Options{}, "it was changed: the ledger has another leaf", statementPlace(2).File)

	h = newSmall(t)
	held := h.files("lake/_quarantine", ".ndjson")[0]
	lines := bytes.SplitAfter(bytes.TrimSuffix(h.read(held), []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	slices.Reverse(lines)
	h.write(held, bytes.Join(lines, nil))
	h.named("messages reversed", Options{}, held)
}

// A crash leaves one leaf that nothing signed, and no more.
func TestUnsignedLeaf(t *testing.T) {
	h := newSmall(t)
	signed := h.read("ledger/checkpoint")
	h.open()
	c := h.begin("acme", "gw-0")
	for _, code := range []int{CodeFine, CodeFound} {
		h.outcomes(c, 1)
		h.commit()
		h.close()
		h.write("ledger/checkpoint", signed)
		h.write(keptPath, signed)
		h.named("unsigned", Options{}, "ledger/checkpoint")
		h.write("run.json", []byte("{}"))
		r := h.run(Options{})
		note := slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "not signed yet") })
		if r.Code() != code || note != (code == CodeFine) {
			t.Errorf("after a crash: problems %v, notes %v", r.Problems, r.Notes)
		}
		h.remove("run.json")
		h.open()
	}
	h.close()
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("after a start: %v", r.Problems)
	}
}

// TestPartlyRolledBack puts a part of the directory back to what it was.
func TestPartlyRolledBack(t *testing.T) {
	h := newSmall(t)
	yesterday := filepath.Join(t.TempDir(), "yesterday")
	copyDir(t, yesterday, h.dir)
	h.open()
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 1)
	h.commit()
	h.compact()
	h.close()
	today := filepath.Join(t.TempDir(), "today")
	copyDir(t, today, h.dir)
	kept := h.read("ledger/checkpoint")
	for _, parts := range [][]string{
		{"lake"}, {"ledger"}, {"lake/_manifest.json"}, {"lake", "ledger"}, {"lake/_commits", "lake/_manifest.json"}, {"ledger", "keys"}, {"ledger/checkpoint"},
	} {
		for _, part := range parts {
			full := filepath.Join(h.dir, filepath.FromSlash(part))
			if err := os.RemoveAll(full); err != nil {
				t.Fatal(err)
			}
			from := filepath.Join(yesterday, filepath.FromSlash(part))
			if info, err := os.Stat(from); err == nil && info.IsDir() {
				copyDir(t, full, from)
				continue
			}
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			h.write(part, b)
		}
		for _, deep := range []bool{false, true} {
			for _, opts := range []Options{{}, {Against: kept}, {Key: h.key.Verifier()}} {
				opts.Deep = deep
				if r := h.run(opts); r.Code() != CodeFound {
					t.Errorf("%v put back, deep %v, against %v: code %d, %v", parts, deep, opts.Against != nil, r.Code(), r.Problems)
				}
			}
		}
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		copyDir(t, h.dir, today)
	}
	// All of it: no file contradicts another, and the kept checkpoint all of them.
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, h.dir, yesterday)
	h.expect(Options{Against: kept}, RolledBack)
}

// Whatever a file of stubs holds, reading it ends in an error at worst: what the
// Parquet reader panics of does not end the process.
func TestStubsOfAnyBytes(t *testing.T) {
	h := newSmall(t)
	rng := tamperDice(t, 5)
	path := h.files("lake/_stubs", ".parquet")[0]
	good := h.read(path)
	for at := rng.IntN(4); at < len(good); at += 4 {
		h.write(path, flip(at, rng.UintN(8))(slices.Clone(good)))
		if stubs, err := lake.ReadStubs(t.Context(), filepath.Join(h.dir, lakeDir), strings.TrimPrefix(path, "lake/")); err == nil && len(stubs) > 1000 {
			t.Errorf("byte %d: %d stubs", at, len(stubs))
		}
	}
}
