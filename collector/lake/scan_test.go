// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/parquet"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// overlapping makes a lake of many small row groups: files of several tenants
// and days, in which times go another way than commits, of more than one
// compaction, and some that were not compacted. It returns what it holds in
// commit order.
func overlapping(t *testing.T, l *lake.Lake, random *rand.Rand) []store.Entry {
	t.Helper()
	epochs := []*storetest.Epoch{
		storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "acme", "gateway-1"), storetest.NewEpoch(t, "other", "gateway-0"),
	}
	base := epochs[0].Time
	var stored []store.Entry
	commits := 12 + random.IntN(6)
	for n := range commits {
		var b store.Batch
		for range 10 + random.IntN(30) {
			e := epochs[random.IntN(len(epochs))]
			// Some come late, by up to some commits, and some by a day.
			e.Time = base + int64(n*1000) - int64(random.IntN(4000))
			if random.IntN(10) == 0 {
				e.Time -= (24 * time.Hour).Milliseconds()
			}
			kind := []string{profile.KindEvaluation, profile.KindOutcome, profile.KindResult}[random.IntN(3)]
			b.Entries = append(b.Entries, e.API(kind, storetest.NewUID(), ""))
		}
		stored = append(stored, commit(t, l, b).Added...)
		if n == commits/3 || n == commits*2/3 {
			compact(t, l, true)
		}
	}
	return stored
}

// naive does a query by looking at every event.
func naive(q store.Query, stored []store.Entry) (out []store.Entry) {
	for _, e := range stored {
		h, c := &e.Header, store.Cursor{Commit: e.Commit, Pos: e.Pos}.Compare(q.After)
		switch {
		case q.Since != 0 && h.Time < q.Since, q.Until != 0 && h.Time >= q.Until,
			q.Tenant != "" && h.Tenant != q.Tenant, q.Epoch != "" && h.Epoch != q.Epoch,
			q.Texts != nil && !slices.Contains(q.Texts["principal"], h.Principal),
			len(q.Kinds) > 0 && !slices.Contains(q.Kinds, h.Kind), q.AsOf != 0 && e.Commit > q.AsOf,
			q.After != store.Cursor{} && (q.Descending && c >= 0 || !q.Descending && c <= 0):
			continue
		}
		if q.WithoutRaw {
			e.Raw = nil
		}
		out = append(out, e)
	}
	if q.Descending {
		slices.Reverse(out)
	}
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out
}

// alike compares bytes at once, unlike cmp.
func alike(a, b []store.Entry) bool {
	return slices.EqualFunc(a, b, func(a, b store.Entry) bool {
		raw := bytes.Equal(a.Raw, b.Raw) && (a.Raw == nil) == (b.Raw == nil)
		a.Raw, b.Raw = nil, nil
		return raw && reflect.DeepEqual(a, b)
	})
}

func drawScan(r *rapid.T, stored []store.Entry) store.Query {
	pick := func(name string) *store.Entry { return &stored[rapid.IntRange(0, len(stored)-1).Draw(r, name)] }
	q := store.Query{
		WithoutRaw: rapid.Bool().Draw(r, "without raw"), Descending: rapid.Bool().Draw(r, "descending"),
		Limit:  rapid.SampledFrom([]int{0, 0, 1, 7, 100}).Draw(r, "limit"),
		Tenant: rapid.SampledFrom([]string{"", "", "acme", "other", "nobody"}).Draw(r, "tenant"),
		Kinds:  rapid.SampledFrom([][]string{nil, nil, {profile.KindOutcome}, {profile.KindOutcome, profile.KindResult}, {profile.KindFinding}}).Draw(r, "kinds"),
		Texts:  rapid.SampledFrom([]map[string][]string{nil, nil, {"principal": {"user-1", "user-4"}}}).Draw(r, "texts"),
		Epoch:  rapid.SampledFrom([]string{"", "", "", pick("epoch").Header.Epoch}).Draw(r, "of epoch"),
		Since:  rapid.SampledFrom([]int64{0, 0, pick("since").Header.Time}).Draw(r, "since this"),
		Until:  rapid.SampledFrom([]int64{0, 0, pick("until").Header.Time}).Draw(r, "until this"),
		AsOf:   rapid.SampledFrom([]uint64{0, 0, pick("as of").Commit}).Draw(r, "as of this"),
	}
	at := pick("after")
	q.After = rapid.SampledFrom([]store.Cursor{{}, {Commit: at.Commit, Pos: at.Pos}, {Commit: at.Commit, Pos: 1 << 31}}).Draw(r, "after this")
	return q
}

// A scan gives what is selected, once and in order, however files, row groups
// and pages overlap, whether or not these say what is in them, in windows of
// whatever size, as far as it is read, and page by page.
func TestScans(t *testing.T) {
	small := []parquet.WriterProperty{parquet.WithMaxRowGroupLength(16), parquet.WithDataPageSize(4000), parquet.WithBatchSize(3)}
	type subject struct {
		dir    string
		files  []lake.File
		stored []store.Entry
	}
	var subjects []subject
	for i, more := range [][]parquet.WriterProperty{
		nil,
		{parquet.WithMaxRowGroupLength(1)},
		{parquet.WithStatsFor(lake.ColumnCommit, false), parquet.WithStatsFor("time", false)},
		{parquet.WithDictionaryFor(lake.ColumnRaw, true)}, // which no page can be read of by itself
	} {
		lake.WriteWith(t, append(slices.Clone(small), more...)...)
		dir := t.TempDir()
		l := openWith(t, dir, lake.Options{SplitBytes: 20_000})
		stored := overlapping(t, l, rand.New(rand.NewPCG(uint64(i), 0)))
		if !alike(stored, all(t, l, store.Query{})) {
			t.Fatalf("lake %d holds something else than was stored", i)
		}
		subjects = append(subjects, subject{dir, l.Files(), stored})
	}
	rapid.Check(t, func(r *rapid.T) {
		s := subjects[rapid.IntRange(0, len(subjects)-1).Draw(r, "lake")]
		q := drawScan(r, s.stored)
		size := func(name string) int64 { return rapid.SampledFrom([]int64{1, 3000, 40_000, 1 << 20}).Draw(r, name) }
		b := lake.Bounds{First: size("first window"), Window: size("window"), Aside: size("aside"), Page: size("page"), Open: rapid.IntRange(1, 5).Draw(r, "open")}
		scan := func(q store.Query, stop int) (got []store.Entry) {
			for e, err := range lake.ScanWithin(t.Context(), b, s.dir, s.files, q) {
				if err != nil {
					r.Fatal(err)
				}
				if got = append(got, e); len(got) == stop {
					break
				}
			}
			return got
		}
		want := naive(q, s.stored)
		if got := scan(q, 0); !alike(want, got) {
			r.Fatalf("%+v within %+v (-naive +scan):\n%s", q, b, gocmp.Diff(want, got))
		}
		if stop := rapid.IntRange(1, 20).Draw(r, "stop"); len(want) >= stop && !alike(want[:stop], scan(q, stop)) {
			r.Fatalf("%+v within %+v: the first %d are others", q, b, stop)
		}
		// Whoever asks for the next page until there is none gets the same.
		paged, got := q, []store.Entry(nil)
		paged.Limit = rapid.IntRange(5, 60).Draw(r, "page by page")
		for {
			page := scan(paged, 0)
			if got = append(got, page...); len(page) < paged.Limit {
				break
			}
			last := page[len(page)-1]
			paged.After = store.Cursor{Commit: last.Commit, Pos: last.Pos}
		}
		q.Limit = 0
		if want := naive(q, s.stored); !alike(want, got) {
			r.Fatalf("%+v within %+v, in pages of %d (-naive +pages):\n%s", q, b, paged.Limit, gocmp.Diff(want, got))
		}
	})
}

// A page of the newest or of the oldest events is read of the row groups that
// hold it: that others are damaged is not noticed.
func TestAPageReadsLittle(t *testing.T) {
	lake.WriteWith(t, parquet.WithMaxRowGroupLength(16))
	dir := t.TempDir()
	l := open(t, dir)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	var b store.Batch
	for range 100 {
		b.Entries = append(b.Entries, e.Operation()...)
	}
	stored := commit(t, l, b).Added
	path := filepath.Join(dir, l.Files()[0].Path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(from, to int) {
		t.Helper()
		damaged := bytes.Clone(whole)
		clear(damaged[from:to])
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := func(q store.Query) bool {
		for _, err := range l.Scan(t.Context(), q) {
			if err != nil {
				return true
			}
		}
		return false
	}
	for _, withoutRaw := range []bool{false, true} {
		newest, oldest := store.Query{Descending: true, Limit: 5, WithoutRaw: withoutRaw}, store.Query{Limit: 5, WithoutRaw: withoutRaw}
		third := len(whole) / 3
		damage(4, third)
		if got := all(t, l, newest); !alike(naive(newest, stored), got) {
			t.Errorf("without raw %v: the newest are others", withoutRaw)
		}
		if !broken(oldest) {
			t.Error("the oldest are damaged, and nobody noticed")
		}
		damage(third, 2*third)
		if got := all(t, l, oldest); !alike(naive(oldest, stored), got) {
			t.Errorf("without raw %v: the oldest are others", withoutRaw)
		}
		if !broken(store.Query{WithoutRaw: withoutRaw}) {
			t.Error("the middle is damaged, and nobody noticed")
		}
	}
}
