// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// A Cost is what the events of one tenant, class and day take on disk.
type Cost struct {
	Day    string `json:"day"` // of the event time, UTC, YYYYMMDD
	Tenant string `json:"tenant"`
	Class  string `json:"class"` // the name of its view and directory
	Events int64  `json:"events"`
	Bytes  int64  `json:"bytes"` // compressed
	// Estimated are those of Bytes that lie in files that hold other events, too:
	// their share goes by the number of rows.
	Estimated int64 `json:"estimated_bytes"`
}

// Costs says what the events of a manifest of the lake in dir take, sorted by
// day, tenant and class. It reads the statements that the hot files are of, and
// no file.
func Costs(dir string, m *Manifest) ([]Cost, error) {
	type key struct{ day, tenant, class string }
	all := make(map[key]*Cost)
	add := func(k key, events, bytes, estimated int64) {
		c := all[k]
		if c == nil {
			c = &Cost{Day: k.day, Tenant: k.tenant, Class: k.class}
			all[k] = c
		}
		c.Events, c.Bytes, c.Estimated = c.Events+events, c.Bytes+bytes, c.Estimated+estimated
	}
	for i := range m.Files {
		f := &m.Files[i]
		if Public(f.Path) {
			class, _, _ := strings.Cut(f.Path, "/")
			_, day, _ := strings.Cut(f.Path, "/eventDay=")
			day, _, _ = strings.Cut(day, "/")
			tenant := ""
			for epoch := range f.Epochs { // the path has it escaped
				tenant = m.Epochs[epoch].Tenant
				break
			}
			add(key{day, tenant, class}, f.Rows, f.Bytes, 0)
			continue
		}
		counts, err := countsOf(dir, f)
		if err != nil {
			return nil, err
		}
		for _, c := range counts {
			share := int64(float64(f.Bytes) * float64(c.Count) / float64(max(f.Rows, 1)))
			add(key{c.Day, c.Tenant, className(c.ClassUID)}, c.Count, share, share)
		}
	}
	costs := make([]Cost, 0, len(all))
	for _, c := range all {
		costs = append(costs, *c)
	}
	slices.SortFunc(costs, func(a, b Cost) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Class, b.Class))
	})
	return costs, nil
}

// countsOf returns what the commits of a hot file say of its rows.
func countsOf(dir string, f *File) ([]Count, error) {
	var counts []Count
	for n := f.FirstCommit; n <= f.LastCommit; n++ {
		s, err := statement(dir, n)
		if err != nil {
			return nil, err
		}
		counts = append(counts, s.Counts...)
	}
	return counts, nil
}

func statement(dir string, n uint64) (*Statement, error) {
	b, err := ReadStatement(dir, n)
	if err != nil {
		return nil, failed("read costs", dir, err)
	}
	s, err := ParseStatement(b)
	if err != nil {
		return nil, failed("read costs", dir, fmt.Errorf("%s: %w", StatementPath(n), err))
	}
	return s, nil
}

// A Growth is how fast a lake becomes larger.
type Growth struct {
	Since time.Time `json:"since"`         // the first commit that is looked at
	Bytes int64     `json:"bytes"`         // of what was stored since, as it lies there now
	Day   int64     `json:"bytes_per_day"` // 0 when the time is too short to say
}

// GrowthWithin says how fast the lake grew within the last while before now, or
// since its first commit, by the time of storing. Files that hold older commits
// too count by their part.
func GrowthWithin(dir string, m *Manifest, within time.Duration, now time.Time) (Growth, error) {
	if m.Number == 0 {
		return Growth{}, nil
	}
	var broken error
	at := func(n uint64) time.Time {
		s, err := statement(dir, n)
		if err != nil {
			broken = cmp.Or(broken, err)
			return now
		}
		return time.UnixMilli(s.Time).UTC()
	}
	limit := now.Add(-within)
	first := uint64(sort.Search(int(m.Number), func(i int) bool { return !at(uint64(i) + 1).Before(limit) })) + 1
	if broken != nil {
		return Growth{}, broken
	}
	if first > m.Number { // nothing came since
		return Growth{Since: limit.UTC()}, nil
	}
	g := Growth{Since: at(first)}
	for i := range m.Files {
		f := &m.Files[i]
		if f.LastCommit < first {
			continue
		}
		part := float64(f.LastCommit-max(f.FirstCommit, first)+1) / float64(f.LastCommit-f.FirstCommit+1)
		g.Bytes += int64(float64(f.Bytes) * part)
	}
	// A lake that is older than within was silent before its first commit in it.
	span := now.Sub(g.Since)
	if first > 1 {
		span = within
	}
	const least = 10 * time.Minute
	if span >= least {
		g.Day = int64(float64(g.Bytes) * float64(24*time.Hour) / float64(span))
	}
	return g, broken
}
