// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

const (
	defaultTop = 10
	maxTop     = 1000
	maxFacets  = 12
	buckets    = 60    // so many at most where nobody says how wide they are
	maxBuckets = 10000 // and else
	// maxValues bounds what is kept of a facet while it is counted. Beyond it new
	// values are others: counts of those that are listed stay exact.
	maxValues = 100_000
)

var defaultFacets = []string{"kind", "decision", "service", "method", "principal", "binding"}

// Stats implements [auditv1.AuditServiceServer].
func (s *service) Stats(ctx context.Context, r *auditv1.StatsRequest) (*auditv1.StatsResponse, error) {
	sel, err := selectionOf(ctx, r)
	if err != nil {
		return nil, err
	}
	c, err := newCounting(r)
	if err != nil {
		return nil, err
	}
	// A database counts columns of all, a scan reads the header of each.
	counted, err := s.countInSQL(ctx, r, sel, c)
	if err == nil && !counted {
		sel.query.WithoutRaw = true
		err = s.scan(ctx, sel, func(e *store.Entry) error { return c.add(&e.Header) })
	}
	if err != nil {
		return nil, err
	}
	resp, err := c.answer()
	if err != nil {
		return nil, err
	}
	sent(ctx, 1)
	return resp, nil
}

// A counting counts events.
type counting struct {
	names    []string
	fields   []int // of the names, in a header
	values   []map[string]int64
	others   []int64
	top      int
	events   int64
	min, max int64            // of the times
	interval int64            // ms; while nobody said it, it doubles as the buckets become many
	fixed    bool             // somebody said it
	byTime   map[int64]*count // by the number of the interval
}

type count struct{ events, denied int64 }

func newCounting(r *auditv1.StatsRequest) (*counting, error) {
	c := &counting{names: r.GetFacets(), top: int(r.GetTop()), interval: 1, byTime: map[int64]*count{}}
	if len(c.names) == 0 {
		c.names = defaultFacets
	}
	switch {
	case len(c.names) > maxFacets:
		return nil, invalidf("facets", "%d are more than %d", len(c.names), maxFacets)
	case c.top < 0 || c.top > maxTop:
		return nil, invalidf("top", "%d is not between 1 and %d", c.top, maxTop)
	case c.top == 0:
		c.top = defaultTop
	}
	header := reflect.TypeFor[profile.Header]()
	for _, name := range c.names {
		i := slices.IndexFunc(slices.Collect(fieldNames(header)), func(n string) bool { return n == name })
		if i < 0 {
			return nil, &facetError{name}
		}
		c.fields = append(c.fields, i)
		c.values = append(c.values, map[string]int64{})
	}
	c.others = make([]int64, len(c.names))
	if r.GetInterval().GetSeconds() != 0 || r.GetInterval().GetNanos() != 0 {
		d := r.GetInterval().AsDuration()
		if r.GetInterval().CheckValid() != nil || d < time.Millisecond || d%time.Millisecond != 0 {
			return nil, invalidf("interval", "%s is no positive number of milliseconds", d)
		}
		c.interval, c.fixed = d.Milliseconds(), true
	}
	return c, nil
}

// A facetError is of a facet that is no column.
type facetError struct{ name string }

func (e *facetError) Error() string { return ErrInvalid.Error() + ": " + e.reason().Error() }
func (e *facetError) reason() error { return fmt.Errorf("there is no column %.80q", e.name) }
func (e *facetError) Unwrap() error { return Invalid("facets", e.reason()) }

// Hint names the columns that there are.
func (e *facetError) Hint() string {
	return "count by " + strings.Join(slices.Sorted(fieldNames(reflect.TypeFor[profile.Header]())), ", ")
}

// fieldNames yields the columns that a header has.
func fieldNames(header reflect.Type) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range header.NumField() {
			if !yield(header.Field(i).Tag.Get("json")) {
				return
			}
		}
	}
}

func (c *counting) add(h *profile.Header) error {
	c.events++
	v := reflect.ValueOf(h).Elem()
	for i, field := range c.fields {
		value := valueOf(v.Field(field))
		if _, known := c.values[i][value]; !known && len(c.values[i]) >= maxValues {
			c.others[i]++
			continue
		}
		c.values[i][strings.Clone(value)]++
	}
	c.between(h.Time, h.Time)
	denied := int64(0)
	if h.Decision == profile.DecisionDeny {
		denied = 1
	}
	c.put(h.Time/c.interval, count{1, denied})
	return c.widen(2 * buckets)
}

// between tells of times that there are.
func (c *counting) between(first, last int64) {
	if len(c.byTime) == 0 && c.min == 0 {
		c.min, c.max = first, last
	}
	c.min, c.max = min(c.min, first), max(c.max, last)
}

func (c *counting) put(n int64, of count) {
	b := c.byTime[n]
	if b == nil {
		b = new(count)
		c.byTime[n] = b
	}
	b.events, b.denied = b.events+of.events, b.denied+of.denied
}

// widen keeps the number of buckets bounded.
func (c *counting) widen(most int) error {
	if c.fixed {
		if len(c.byTime) > maxBuckets {
			return invalidf("interval", "that makes more than %d buckets; make it wider, or say since and until", maxBuckets)
		}
		return nil
	}
	for len(c.byTime) > most {
		c.double()
	}
	return nil
}

func (c *counting) double() {
	c.interval *= 2
	finer := c.byTime
	c.byTime = make(map[int64]*count, len(finer)/2+1)
	for n, b := range finer {
		c.put(n>>1, *b) // towards the past, as a division of what is before 1970 would not be
	}
}

// span is how many buckets there are from the first to the last, the empty ones
// among them.
func (c *counting) span() int64 { return c.max/c.interval - c.min/c.interval + 1 }

func valueOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	default:
		return v.String()
	}
}

func (c *counting) answer() (*auditv1.StatsResponse, error) {
	if err := c.widen(2 * buckets); err != nil {
		return nil, err
	}
	for !c.fixed && c.span() > buckets {
		c.double()
	}
	resp := &auditv1.StatsResponse{Events: c.events, Interval: durationpb.New(time.Duration(c.interval) * time.Millisecond)}
	for i, name := range c.names {
		f := &auditv1.Facet{Name: name, Others: c.others[i]}
		all := slices.SortedFunc(maps.Keys(c.values[i]), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.values[i][b], c.values[i][a]), cmp.Compare(a, b))
		})
		for n, value := range all {
			if n < c.top {
				f.Values = append(f.Values, &auditv1.Count{Value: value, Events: c.values[i][value]})
			} else {
				f.Others += c.values[i][value]
			}
		}
		resp.Facets = append(resp.Facets, f)
	}
	for _, n := range slices.Sorted(maps.Keys(c.byTime)) {
		b := c.byTime[n]
		resp.Histogram = append(resp.Histogram, &auditv1.Bucket{Start: instant(n * c.interval), Events: b.events, Denied: b.denied})
	}
	return resp, nil
}
