// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/checker"
	"github.com/docket-audit/docket/internal/powercut"
)

// cutFS is a disk that can lose its power.
type cutFS struct{ *powercut.Disk }

func (c cutFS) Create(path string) (File, error) { return c.Disk.Create(path) }

// fastFS is the real file system, never synced: for directories that live no
// longer than a look at them.
type fastFS struct{ osFS }

type fastFile struct{ File }

func (fastFile) Sync() error        { return nil }
func (fastFS) SyncDir(string) error { return nil }
func (f fastFS) Create(path string) (File, error) {
	file, err := f.osFS.Create(path)
	return fastFile{file}, err
}

// promises are lines of a journal with the step of the disk at which each was
// made.
type promises struct {
	lines []checker.Line
	steps []int
}

// before returns what was promised when the first at steps were done.
func (p *promises) before(at int) []checker.Line {
	n := 0
	for n < len(p.steps) && p.steps[n] <= at {
		n++
	}
	return p.lines[:n]
}

// work is a start of an emitter on d that takes groups of events, each when the
// one before it is durable, and is closed or not: then it stands still.
func (p *promises) work(t *testing.T, d *powercut.Disk, root, name string, groups, most int) {
	t.Helper()
	e, err := New(Config{Dir: filepath.Join(root, "data", "wal"), Name: "gateway-0", FS: cutFS{d}, WALFileBytes: minFileBytes, ReserveBytes: 2 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for g := range groups {
		var receipts []Receipt
		for i := range 1 + g%most {
			receipts = append(receipts, e.Emit(t.Context(), event("acme", fmt.Sprintf("%s-%d-%d", name, g, i))))
		}
		for i, r := range receipts {
			if err := r.Spooled(within(t)); err != nil {
				t.Fatal(err)
			}
			at := r.group.places[r.index]
			p.lines = append(p.lines, checker.Line{Payload: fmt.Sprintf("%s-%d-%d", name, g, i), Epoch: at.epoch, Sequence: at.sequence})
			p.steps = append(p.steps, d.Steps())
		}
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	p.sums(t, filepath.Join(root, "data", "wal"))
}

// sums notes the bytes of what was promised, as they lie there with nothing lost.
func (p *promises) sums(t *testing.T, dir string) {
	t.Helper()
	records, err := checker.ReadWAL(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := map[place]string{}
	for _, r := range records {
		sum := sha256.Sum256(r.Raw)
		at[place{r.Epoch, r.Sequence}] = hex.EncodeToString(sum[:])
	}
	for i := range p.lines {
		l := &p.lines[i]
		if l.SHA256 = at[place{l.Epoch, l.Sequence}]; l.SHA256 == "" {
			t.Fatalf("%s is not in the WAL", l.Payload)
		}
	}
}

// recovers starts an emitter on what a cut left, and judges what is in the WAL then.
func recovers(t *testing.T, root, what string, promised []checker.Line) {
	t.Helper()
	dir := filepath.Join(root, "data", "wal")
	e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fastFS{}, ReserveBytes: -1})
	if err != nil {
		t.Fatalf("%s: the next start: %v", what, err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	records, err := checker.ReadWAL(dir)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var messages []checker.Message
	for i := range records {
		messages = append(messages, records[i].Message())
	}
	h := checker.Read(messages)
	h.Ended()
	if lost := h.Lost(promised); len(h.Faults) > 0 || len(lost) > 0 {
		t.Fatalf("%s:\nfaults: %s\nlost: %s", what, checker.First(h.Faults), checker.First(lost))
	}
	if n := h.Lifecycles()["recovery"]; n > 0 {
		t.Fatalf("%s: what was torn is called damage", what)
	}
}

// The power fails after each step of two starts, the second of which begins with
// what a crash left. Nothing, everything, and what chance wants is left of what
// was not synced; and of the write that is under way some beginning, and some of
// its sectors.
func TestPowerCut(t *testing.T) {
	n := powerCuts(t, dice(t, 11), 211, 2)
	t.Logf("%d cuts", n)
}

// powerCuts tears each write at every byte that every divides, and makes some cuts
// of chance at each step.
func powerCuts(t *testing.T, rng *rand.Rand, every, chances int) (cuts int) {
	root := newRoot(t)
	d := newDisk(t, root)
	var p promises
	p.work(t, d, root, "first", 6, 3)
	cuts += cutEverywhere(t, rng, d, &p, 1, every, chances)

	// What a crash in the middle of it left is where the second start begins.
	crashed := newRoot(t)
	middle := p.steps[len(p.steps)*2/3]
	if err := d.Cut(middle+1, crashed, powercut.Everything()); err != nil {
		t.Fatal(err)
	}
	again := newDisk(t, crashed)
	base := again.Steps()
	p = promises{lines: p.before(middle), steps: make([]int, len(p.before(middle)))}
	p.work(t, again, crashed, "second", 4, 2)
	return cuts + cutEverywhere(t, rng, again, &p, base, every, chances)
}

func newRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp(t.TempDir(), "root")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newDisk(t *testing.T, root string) *powercut.Disk {
	t.Helper()
	d, err := powercut.New(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func cutEverywhere(t *testing.T, rng *rand.Rand, d *powercut.Disk, p *promises, from, every, chances int) (cuts int) {
	scratch := t.TempDir()
	cut := func(at int, what string, s powercut.Survival) {
		t.Helper()
		cuts++
		dst := filepath.Join(scratch, "found")
		if err := d.Cut(at, dst, s); err != nil {
			t.Fatal(err)
		}
		recovers(t, dst, fmt.Sprintf("cut after step %d of %d, %s", at, d.Steps(), what), p.before(at))
		if err := os.RemoveAll(dst); err != nil {
			t.Fatal(err)
		}
	}
	coin := func() bool { return rng.IntN(2) == 0 }
	for at := from + rng.IntN(slower); at <= d.Steps(); at += slower {
		cut(at, "nothing left", powercut.Survival{})
		cut(at, "everything left", powercut.Everything())
		for range chances {
			cut(at, "chance", powercut.Survival{Entry: coin, Content: func(offset int64, b []byte) []byte {
				if coin() {
					return b[:rng.IntN(len(b)+1)]
				}
				return powercut.Sectors(offset, b, coin(), func(int) bool { return coin() })
			}})
		}
		written := d.Unsynced(at)
		if at == d.Steps() || written == 0 || d.Unsynced(at-1) > 0 {
			continue
		}
		entry := coin()
		for n := rng.IntN(every); n < written; n += every {
			cut(at, fmt.Sprintf("torn at byte %d of %d", n, written), powercut.Survival{
				Entry:   func() bool { return entry },
				Content: func(_ int64, b []byte) []byte { return b[:min(n, len(b))] },
			})
		}
		sectors := written/powercut.SectorBytes + 2
		for mask := range min(1<<sectors, 16*chances) {
			if 1<<sectors > 16*chances {
				mask = rng.IntN(1 << min(sectors, 62))
			}
			for _, grown := range []bool{true, false} {
				cut(at, fmt.Sprintf("sectors %b of %d bytes, grown %t", mask, written, grown), powercut.Survival{
					Entry: func() bool { return true },
					Content: func(offset int64, b []byte) []byte {
						return powercut.Sectors(offset, b, grown, func(i int) bool { return mask>>i&1 == 1 })
					},
				})
			}
		}
	}
	return cuts
}

// A name that nobody synced may be gone, and what lies in it: the directories that
// an emitter makes are synced into those above them.
func TestDirectoriesOutlastThePower(t *testing.T) {
	root := newRoot(t)
	d := newDisk(t, root)
	var p promises
	p.work(t, d, root, "only", 1, 1)
	dst := filepath.Join(t.TempDir(), "found")
	if err := d.Cut(d.Steps(), dst, powercut.Survival{}); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dst, "data", "wal", "*"+walSuffix))
	if err != nil || len(names) == 0 || !strings.HasSuffix(names[0], walSuffix) {
		t.Errorf("%v, %v", names, err)
	}
}
