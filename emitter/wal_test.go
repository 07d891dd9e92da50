// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// seal makes e the next event of an epoch without a sequencer, as a record.
func (p *epoch) seal(e ocsf.Event, cfg *Config) (record, error) {
	if p.sealer == nil {
		p.sealer = new(profile.Sealer)
	}
	return p.sealWithin(bounds{most: cfg.MaxEventBytes}, nil, e, cfg)
}

// sealedRecords returns the records of one epoch with n events, the first of
// which opens it.
func sealedRecords(t testing.TB, tenant string, n int) []record {
	t.Helper()
	cfg := Config{Dir: "x", Name: "gateway-0"}.withDefaults()
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: tenant}}
	var list []record
	for i := range n {
		e := event(tenant, fmt.Sprint("payload ", i))
		e.Metadata.UID = newUID()
		r, err := p.seal(e, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	list[0].flags = flagOpens
	return list
}

func testConfig(dir string, fileBytes int64) *Config {
	cfg := Config{Dir: dir, Name: "gateway-0"}.withDefaults()
	cfg.WALFileBytes = fileBytes // smaller than Validate would have it
	return &cfg
}

// writeWAL writes groups of records into a new WAL and returns it, closed.
func writeWAL(t testing.TB, dir string, fileBytes int64, groups ...[]record) *wal {
	t.Helper()
	w, err := openWAL(testConfig(dir, fileBytes), &recovery{})
	if err != nil {
		t.Fatal(err)
	}
	var open *epochState
	for _, g := range groups {
		if _, err := w.append(g, func() []epochState {
			if open == nil {
				return nil
			}
			return []epochState{*open}
		}); err != nil {
			t.Fatal(err)
		}
		last := g[len(g)-1]
		open = &epochState{Epoch: last.epoch, Tenant: tenantOf(last.raw), Sequence: last.sequence, UID: last.uid, Fingerprint: last.hexFingerprint()}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// readBack returns what a new start would publish.
func readBack(t testing.TB, dir string) (rec *recovery, records []record) {
	t.Helper()
	rec, err := recoverWAL(dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := openWAL(testConfig(dir, 16<<20), rec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.close() }()
	r := walReader{w: w}
	defer r.close()
	for at := w.begin(); ; {
		c, err := r.read(at, 3, 4096)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, c.records...)
		if c.next == at {
			return rec, records
		}
		at = c.next
	}
}

func onlyFile(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+walSuffix))
	if err != nil || len(names) != 1 {
		t.Fatalf("files %v, %v", names, err)
	}
	return names[0]
}

// diffRecords compares records but for their group, which depends on where they
// stand.
func diffRecords(want, got []record) string {
	var lines [2][]string
	for i, list := range [][]record{want, got} {
		for _, r := range list {
			r.group = 0
			lines[i] = append(lines[i], fmt.Sprintf("%q", r.append(nil)))
		}
	}
	return cmp.Diff(lines[0], lines[1])
}

func TestWALRoundTrip(t *testing.T) {
	for _, fileBytes := range []int64{1, 5000, 1 << 20} { // a file per group, some files, one
		dir := t.TempDir()
		all := sealedRecords(t, "acme", 40)
		var groups [][]record
		for i := 0; i < len(all); i += 4 {
			groups = append(groups, all[i:i+4])
		}
		writeWAL(t, dir, fileBytes, groups...)
		rec, got := readBack(t, dir)
		if diff := diffRecords(all, got); diff != "" {
			t.Fatalf("records with files of %d bytes (-want +got):\n%s", fileBytes, diff)
		}
		last := all[len(all)-1]
		want := []epochState{{Epoch: last.epoch, Tenant: "acme", Sequence: 40, UID: last.uid, Fingerprint: last.hexFingerprint()}}
		if diff := cmp.Diff(want, rec.epochs); diff != "" || rec.cut != 0 || len(rec.damage) != 0 || rec.records != 40 {
			t.Errorf("recovery %+v\nepochs (-want +got):\n%s", rec, diff)
		}
	}
}

// A process killed in the middle of a write leaves any prefix of it. Whatever
// the length: the groups before are whole, what is left of the last group is a
// prefix of it, and nothing is called damage.
func TestTornTailAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 6)
	writeWAL(t, dir, 1<<20, all[:2], all[2:4], all[4:])
	whole, err := os.ReadFile(onlyFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(onlyFile(t, dir))
	torn := len(whole) - int(all[4].size()+all[5].size())
	_, start, err := decodeHeader(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := torn; n <= len(whole); n++ {
		end, bad := scanFile(whole[:n], start, -1)
		want := int64(torn)
		if n >= torn+int(all[4].size()) {
			want += all[4].size()
		}
		if n == len(whole) {
			want = int64(n)
		}
		if end != want || len(bad) != 0 {
			t.Fatalf("cut at %d: counts to %d, want %d; damage %+v", n, end, want, bad)
		}
	}
	for n := torn; n <= len(whole); n += 41 { // with files, some of them
		for _, rest := range [][]byte{nil, make([]byte, 700)} { // a disk may have grown the file and not filled it
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), append(bytes.Clone(whole[:n]), rest...), 0o600); err != nil {
				t.Fatal(err)
			}
			rec, got := readBack(t, dir)
			want := 4
			if n >= torn+int(all[4].size()) {
				want = 5
			}
			if n == len(whole) {
				want = 6
			}
			if diff := diffRecords(all[:want], got); diff != "" || len(rec.damage) != 0 {
				t.Fatalf("cut at %d: damage %v, records (-want +got):\n%s", n, rec.damage, diff)
			}
			// The next start sees the same: what was cut once stays cut.
			if _, again := readBack(t, dir); len(again) != want {
				t.Fatalf("cut at %d: %d records at the second start, want %d", n, len(again), want)
			}
		}
	}
}

// Without power, the pages of the last group reach the disk in any order. A
// whole record behind a hole in the same group was acknowledged to nobody, and
// its predecessors are gone: the group ends at the hole.
func TestHoleInTheLastGroup(t *testing.T) {
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 6)
	writeWAL(t, dir, 1<<20, all[:2], all[2:])
	path := onlyFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hole := len(whole) - int(all[3].size()+all[4].size()+all[5].size())
	clear(whole[hole : hole+20])
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	rec, got := readBack(t, dir)
	if diff := diffRecords(all[:3], got); diff != "" || len(rec.damage) != 0 || rec.cut == 0 {
		t.Errorf("damage %v, records (-want +got):\n%s", rec.damage, diff)
	}
}

// Any bit that flips in a group that was acknowledged, and was not the last,
// costs the record it is in and no other, and is told.
func TestEveryBitFlip(t *testing.T) {
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 6)
	writeWAL(t, dir, 1<<20, all[:2], all[2:4], all[4:])
	path := onlyFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, start, err := decodeHeader(whole)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	end := start
	for i := range all {
		end += all[i].size()
		ends = append(ends, end)
	}
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for at := start; at < ends[3]; at += step {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		hit := 0
		for at >= ends[hit] {
			hit++
		}
		size, bad := scanFile(b, start, -1)
		if size != int64(len(b)) || len(bad) != 1 || bad[0].to != ends[hit] || bad[0].from != ends[hit]-all[hit].size() {
			t.Fatalf("flip at %d in record %d: file counts to %d of %d, damage %+v", at, hit, size, len(b), bad)
		}
	}
	for at := range start {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		if _, _, err := decodeHeader(b); !errors.Is(err, errBadHeader) {
			t.Fatalf("flip at %d of the header: %v", at, err)
		}
	}
}

// A file whose header is unreadable still gives its records.
func TestHeaderLost(t *testing.T) {
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 9)
	writeWAL(t, dir, 1, all[:3], all[3:6], all[6:])
	names, err := filepath.Glob(filepath.Join(dir, "*"+walSuffix))
	if err != nil || len(names) != 4 { // the first one has no records
		t.Fatal(names, err)
	}
	for i, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(filepath.Join(copied, filepath.Base(name)), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("garbage"), 20); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			rec, got := readBack(t, copied)
			if diff := diffRecords(all, got); diff != "" || len(rec.damage) != 1 {
				t.Errorf("file %d: damage %v, records (-want +got):\n%s", i, rec.damage, diff)
			}
			if len(rec.epochs) != 1 || rec.epochs[0].Sequence != 9 {
				t.Errorf("epochs %+v", rec.epochs)
			}
		})
	}
}

// Files between a header's prev and its own number are attempts that failed.
func TestVoidFiles(t *testing.T) {
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 4)
	w := writeWAL(t, dir, 1<<20, all[:2])
	// A group that was written, of which the sync failed, and a new file that
	// took it again, after one attempt to make a file failed halfway.
	w.out = mustAppend(t, w.newest.path)
	var lost []byte
	for i := range all[2:] {
		all[2+i].group = uint32(w.newest.size)
		lost = all[2+i].append(lost)
	}
	if _, err := w.out.Write(lost); err != nil {
		t.Fatal(err)
	}
	w.giveUp()
	void := filepath.Join(dir, fmt.Sprintf("%012d%s", w.number+1, walSuffix))
	head, err := (&walHeader{Number: w.number + 1, Prev: w.number, PrevBytes: w.newest.size}).encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(void, head, 0o600); err != nil {
		t.Fatal(err)
	}
	w.number++
	if _, err := w.append(all[2:], func() []epochState { return nil }); err != nil {
		t.Fatal(err)
	}
	rec, got := readBack(t, dir)
	if diff := diffRecords(all, got); diff != "" || len(rec.damage) != 0 {
		t.Errorf("damage %v, records (-want +got):\n%s", rec.damage, diff)
	}
	if _, err := os.Stat(void); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the void file is still there: %v", err)
	}
}

func mustAppend(t *testing.T, path string) File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// An older file that lost its end, with or without the records in it, is damage.
func TestFileTooShort(t *testing.T) {
	dir := t.TempDir()
	all := sealedRecords(t, "acme", 6)
	w := writeWAL(t, dir, 1, all[:3], all[3:])
	cut := w.files[1]
	if err := os.Truncate(cut.path, cut.size-5); err != nil {
		t.Fatal(err)
	}
	rec, got := readBack(t, dir)
	want := append(append([]record{}, all[:2]...), all[3:]...)
	if diff := diffRecords(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if len(rec.damage) != 1 || rec.damage[0].to != cut.size || rec.damage[0].from != cut.size-all[2].size() {
		t.Errorf("damage %+v", rec.damage)
	}
}

// Files of other names are not the emitter's, and one of a number that none comes
// to would make those after it invisible.
func TestStrayFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"7.wal", "+00000000001.wal", "0000000000009.wal", "notes.wal", "18446744073709551616.wal"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("what somebody put there"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		e, err := New(Config{Dir: dir, Name: "gateway-0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Emit(t.Context(), event("acme", "a")).Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	rec, err := recoverWAL(dir)
	if err != nil || rec.highest != 2 || len(rec.damage) != 0 {
		t.Errorf("the highest file is %d, damages %v: %v", rec.highest, rec.damage, err)
	}
	for _, name := range []string{"18446744073709551615.wal", "1000000000000001.wal"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var bad *DirError
		if _, err := New(Config{Dir: dir, Name: "gateway-0"}); !errors.As(err, &bad) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecoverEpochs(t *testing.T) {
	dir := t.TempDir()
	crashed, stopped, stated := sealedRecords(t, "acme", 3), sealedRecords(t, "beta", 3), sealedRecords(t, "gamma", 3)
	stopped[2].flags = flagCloses
	// The start event of a later epoch closes the one that crashed before.
	s := &sequencer{e: &Emitter{cfg: Config{Dir: "x", Name: "gateway-0"}.withDefaults()}}
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: "gamma"}}
	begin := s.startEvent("gamma", []epochState{{Epoch: stated[0].epoch, Sequence: 3}})
	begin.Common().Metadata.UID = newUID()
	r, err := p.seal(begin, &s.e.cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.flags = flagOpens
	writeWAL(t, dir, 1<<20, crashed, stopped, stated, []record{r})
	rec, _ := readBack(t, dir)
	var got []string
	for _, e := range rec.epochs {
		got = append(got, fmt.Sprint(e.Epoch, " ", e.Tenant, " ", e.Sequence))
	}
	want := []string{fmt.Sprint(crashed[0].epoch, " acme 3"), fmt.Sprint(r.epoch, " gamma 1")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("open epochs (-want +got):\n%s", diff)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range sealedRecords(f, "acme", 2) {
		f.Add(r.append(nil))
	}
	f.Add([]byte(recordMark))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := decodeRecord(b)
		if err != nil {
			return
		}
		if again := r.append(nil); !bytes.Equal(again, b[:n]) {
			t.Errorf("decoded and encoded: %x, was %x", again, b[:n])
		}
	})
}

func FuzzScanFile(f *testing.F) {
	dir := f.TempDir()
	all := sealedRecords(f, "acme", 4)
	writeWAL(f, dir, 1<<20, all[:2], all[2:])
	whole, err := os.ReadFile(onlyFile(f, dir))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, int64(-1))
	f.Add(whole[:len(whole)-3], int64(len(whole)))
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		_, start, err := decodeHeader(b)
		if err != nil {
			start = nextRecord(b, 0)
		}
		if limit >= 0 && limit < start || limit > 1<<20 {
			return
		}
		end, bad := scanFile(b, start, limit)
		at := start
		for _, d := range append(bad, damage{from: end, to: end}) {
			if d.from < at && d.from != end || d.to < d.from {
				t.Fatalf("places out of order: %+v, end %d", bad, end)
			}
			for at < d.from {
				_, n, err := decodeRecord(b[at:])
				if err != nil {
					t.Fatalf("no record at %d, between %+v", at, bad)
				}
				at += int64(n)
			}
			at = d.to
		}
	})
}

func TestSubjectOfRecord(t *testing.T) {
	r := sealedRecords(t, "acme", 1)[0]
	if want := "docket.activity.acme.result.allow.demo/v1/Sandboxes.CreateSandbox.gateway-0"; r.subject != want {
		t.Errorf("subject %q, want %q", r.subject, want)
	}
	if _, err := profile.Check(r.raw); err != nil {
		t.Error(err)
	}
	// The header that comes with sealing is the one that others will read.
	e := event("acme", "payload")
	e.Metadata.UID = newUID()
	raw, header, err := profile.SealHeader(e, profile.Link{Emitter: "gateway-0", Epoch: newUID(), Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := profile.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parsed, header); diff != "" {
		t.Errorf("header (-parsed +sealed):\n%s", diff)
	}
}
