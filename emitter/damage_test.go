// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/docket-audit/docket/internal/checker"
	"github.com/docket-audit/docket/internal/profile"
)

// A whole is a WAL that nothing happened to.
type whole struct {
	files  map[string][]byte
	events map[place][]byte
	ends   map[place]spot // where each lies
	newest string
}

// A spot is a part of a file.
type spot struct {
	file     string
	from, to int64
}

// wholeWAL leaves what an emitter leaves that was closed.
func wholeWAL(t *testing.T, groups, most int, fileBytes int64) *whole {
	t.Helper()
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fastFS{}, ReserveBytes: -1, WALFileBytes: fileBytes})
	if err != nil {
		t.Fatal(err)
	}
	for g := range groups {
		var last Receipt
		for i := range 1 + g%most {
			last = e.Emit(t.Context(), event("acme", fmt.Sprintf("payload-%d-%d", g, i)))
		}
		if err := last.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	w := &whole{files: map[string][]byte{}, events: map[place][]byte{}, ends: map[place]spot{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+walSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		start, err := checker.Header(b)
		if err != nil {
			t.Fatal(err)
		}
		records, err := checker.Records(b[start:])
		if err != nil {
			t.Fatal(err)
		}
		w.newest = filepath.Base(path)
		w.files[w.newest] = b
		for _, r := range records {
			w.events[place{r.Epoch, r.Sequence}] = r.Raw
			w.ends[place{r.Epoch, r.Sequence}] = spot{w.newest, start + r.Begin, start + r.End}
		}
	}
	return w
}

// spoiled starts two emitters, one after the other, on files of which some were
// changed, and returns which events a further one would not publish. None that it
// would is another than it was; and of each start, what is missing lies in a place
// that it calls damaged and kept a copy of.
func (w *whole) spoiled(t *testing.T, what string, files map[string][]byte) (missing []place, told []spot) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "wal")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fastFS{}, ReserveBytes: -1})
		if err != nil {
			t.Fatalf("%s: the next start: %v", what, err)
		}
		if err := e.Close(within(t)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, records := readBack(t, dir)
	left := maps.Clone(w.events)
	for i := range records {
		r := &records[i]
		if was, ok := w.events[place{r.epoch, r.sequence}]; ok && !bytes.Equal(was, r.raw) {
			t.Fatalf("%s: another event in the place of %d: %s", what, r.sequence, r.raw)
		}
		if _, err := profile.Check(r.raw); err != nil {
			t.Fatalf("%s: an event that was not sealed: %v", what, err)
		}
		delete(left, place{r.epoch, r.sequence})
		if d, ok := toldBy(t, dir, r.raw); ok {
			told = append(told, d)
		}
	}
	for at := range left {
		missing = append(missing, at)
	}
	slices.SortFunc(missing, func(a, b place) int { return int(a.sequence - b.sequence) })
	return missing, told
}

// toldBy returns what a recovery event tells.
func toldBy(t *testing.T, dir string, raw []byte) (spot, bool) {
	t.Helper()
	var e struct {
		Unmapped struct {
			Docket struct {
				Damage *struct {
					File     string
					From, To int64
					Copy     string
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	d := e.Unmapped.Docket.Damage
	if d == nil {
		return spot{}, false
	}
	if _, err := os.Stat(filepath.Join(dir, d.Copy)); err != nil {
		t.Errorf("the damage of %s was not kept: %v", d.File, err)
	}
	return spot{d.File, d.From, d.To}, true
}

// tells says whether a told damage is where at lay.
func (w *whole) tells(at place, told []spot) bool {
	s := w.ends[at]
	return slices.ContainsFunc(told, func(d spot) bool { return d.file == s.file && d.from < s.to && s.from < d.to })
}

// Every byte of a small WAL is changed, one after the other: it is told, costs the
// one event in which it is, and nothing but it.
func TestEveryFlipIsTold(t *testing.T) { everyFlip(t, dice(t, 12), 41*slower) }

func everyFlip(t *testing.T, rng *rand.Rand, every int) {
	w := wholeWAL(t, 4, 2, 16<<20)
	b := w.files[w.newest]
	start, err := checker.Header(b)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := rng.IntN(every); at < len(b); at += every {
		n++
		changed := bytes.Clone(b)
		changed[at] ^= 1 << rng.IntN(8)
		missing, told := w.spoiled(t, fmt.Sprintf("byte %d of %d", at, len(b)), map[string][]byte{w.newest: changed})
		want := 1
		if int64(at) < start {
			want = 0 // the header is told of, and the events are there
		}
		if len(missing) != want || len(told) < 2 || want == 1 && !w.tells(missing[0], told) {
			t.Fatalf("byte %d of %d: %v are missing, told is %v", at, len(b), missing, told)
		}
	}
	t.Logf("%d bytes changed", n)
}

// A WAL is cut off at every byte. Where a later file says how long the one before
// was, what is missing is told; the end of the newest is as a crash leaves it, and
// what comes before the cut is there.
func TestEveryTruncation(t *testing.T) { everyTruncation(t, dice(t, 13), 97*slower) }

func everyTruncation(t *testing.T, rng *rand.Rand, every int) {
	w := wholeWAL(t, 8, 2, minFileBytes)
	if len(w.files) < 3 {
		t.Fatalf("%d files", len(w.files))
	}
	n := 0
	for name, b := range w.files {
		for at := rng.IntN(every); at < len(b); at += every {
			n++
			files := maps.Clone(w.files)
			files[name] = b[:at]
			missing, told := w.spoiled(t, fmt.Sprintf("%s cut off at %d of %d", name, at, len(b)), files)
			for _, m := range missing {
				if s := w.ends[m]; s.file != name || s.to <= int64(at) {
					t.Fatalf("%s cut off at %d: %d is missing, of %+v", name, at, m.sequence, s)
				}
				if name != w.newest && !w.tells(m, told) {
					t.Fatalf("%s cut off at %d: %d is missing, told is %v", name, at, m.sequence, told)
				}
			}
			for at2, s := range w.ends {
				if s.file == name && s.to > int64(at) && !slices.Contains(missing, at2) {
					t.Fatalf("%s cut off at %d: %d is there, of %+v", name, at, at2.sequence, s)
				}
			}
		}
	}
	t.Logf("%d cuts", n)
}

// A larger WAL of some files suffers what chance wants. Nothing that is not what
// it was is published, and what is missing is told, but for the end of the newest
// file.
func TestRandomDamage(t *testing.T) {
	randomDamage(t, dice(t, 10), 60/slower)
}

func randomDamage(t *testing.T, rng *rand.Rand, times int) {
	w := wholeWAL(t, 150, 5, 64<<10)
	names := slices.Sorted(maps.Keys(w.files))
	lost := 0
	for i := range times {
		files := maps.Clone(w.files)
		astray := map[string]bool{}
		what := fmt.Sprint("damage ", i)
		for range 1 + rng.IntN(4) {
			name := names[rng.IntN(len(names))]
			b := bytes.Clone(files[name])
			if len(b) == 0 {
				continue
			}
			at := rng.IntN(len(b))
			part := b[at:min(len(b), at+1+rng.IntN(6000))]
			switch kind := rng.IntN(5); kind {
			case 0:
				b[at] ^= 1 << rng.IntN(8)
			case 1:
				clear(part)
			case 2:
				for j := range part {
					part[j] = byte(rng.Uint32())
				}
			case 3: // part of another place
				from := rng.IntN(len(b))
				copy(part, b[from:])
				astray[name] = true
			default:
				b = b[:at]
			}
			what += fmt.Sprintf(", %s at %d", name, at)
			files[name] = b
		}
		missing, told := w.spoiled(t, what, files)
		lost += len(missing)
		tail := w.tail(files)
		for _, m := range missing {
			// Sound records that came to a wrong place may stand for others there.
			s := w.ends[m]
			// Without the next file's header nobody knows how long this one was.
			near := slices.ContainsFunc(told, func(d spot) bool { return astray[s.file] && d.file == s.file || d.file > s.file && d.from == 0 })
			if !near && !w.tells(m, told) && (s.file != w.newest || s.to <= tail) {
				t.Fatalf("%s: %d is missing, of %+v; told is %v", what, m.sequence, s, told)
			}
		}
	}
	if lost == 0 {
		t.Error("nothing was lost: there was no damage")
	}
	t.Logf("%d damaged WALs, %d events lost and told", times, lost)
}

// tail returns up to where the newest file is what it was.
func (w *whole) tail(files map[string][]byte) int64 {
	was, is := w.files[w.newest], files[w.newest]
	n := 0
	for n < len(is) && n < len(was) && was[n] == is[n] {
		n++
	}
	return int64(n)
}

// Zeros look as a torn write leaves them. Where a group begins behind them, which
// is begun only when the one before is durable, they are damage; in the last group
// they are its end.
func TestZerosInEachRecord(t *testing.T) {
	eachRecord(t, func(b []byte, from, to int64) { clear(b[from:to]) }, func(last bool, at, end int64, size int) (int64, bool) {
		if last {
			return at, false
		}
		return int64(size), true
	})
}

// A sound record of another place is damage wherever it stands.
func TestRecordAstray(t *testing.T) {
	eachRecord(t, func(b []byte, from, to int64) {
		start, err := checker.Header(b)
		if err != nil {
			t.Fatal(err)
		}
		if from == start {
			b[from]++ // it would be where it belongs
			return
		}
		copy(b[from:to], bytes.Clone(b[start:start+to-from]))
	}, func(_ bool, _, _ int64, size int) (int64, bool) { return int64(size), true })
}

// eachRecord spoils one record after the other of a file of equal ones, in groups
// of two, and compares how much counts and whether the record is called damaged.
func eachRecord(t *testing.T, spoil func(b []byte, from, to int64), want func(last bool, at, end int64, size int) (counts int64, told bool)) {
	t.Helper()
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 9)[1:] // the first has no one before it, and is shorter
	writeWAL(t, dir, 1<<20, all[:2], all[2:4], all[4:6], all[6:])
	b, err := os.ReadFile(onlyFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	at, err := checker.Header(b)
	if err != nil {
		t.Fatal(err)
	}
	start := at
	for i := range all {
		end := at + all[i].size()
		changed := bytes.Clone(b)
		spoil(changed, at, end)
		counts, bad := scanFile(changed, start, -1)
		wantCounts, told := want(i >= 6, at, end, len(b))
		if counts != wantCounts || told != (len(bad) == 1) || told && (bad[0].from != at || bad[0].to != end) {
			t.Errorf("record %d at %d to %d: %d of %d count, want %d; damage %+v, want it %t", i, at, end, counts, len(b), wantCounts, bad, told)
		}
		at = end
	}
}
