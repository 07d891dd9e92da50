// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package serve_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A counted lake is asked by two servers: one has the engine, one scans.
type countedLake struct {
	*lake.Lake

	headers   *memory.Store
	asked     atomic.Int64 // questions in SQL
	sql, scan *serve.Server
}

func newCountedLake(t *testing.T) *countedLake {
	t.Helper()
	l, err := lake.Open(t.TempDir(), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &countedLake{Lake: l}
	query := serve.SQL(sql.NewProcesses(exe, []string{answerName}, sql.Limits{}), c.scope)
	cfg := serve.Config{Store: l, Commits: func() uint64 { return l.Manifest().Number }, Now: epoch}
	// What is scanned are the headers as they were given: their values are of no
	// event, and a lake may read the event in their place.
	c.headers = memory.New(memory.Options{Now: epoch})
	scanned := cfg
	scanned.Store = c.headers
	c.scan = serve.New(scanned)
	cfg.Query = func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
		c.asked.Add(1)
		return query(ctx, q, columns, rows)
	}
	c.sql = serve.New(cfg)
	t.Cleanup(func() {
		c.sql.Close()
		c.scan.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// commit puts a batch into both.
func (c *countedLake) commit(ctx context.Context, b store.Batch) (store.Committed, error) {
	if _, err := c.headers.Commit(ctx, b); err != nil {
		return store.Committed{}, err
	}
	return c.Commit(ctx, b)
}

// scope is what a question may see: every file is shared by the tenants.
func (c *countedLake) scope(q serve.Question) (sql.Scope, func(), error) {
	m, release := c.Pin()
	s := sql.Scope{Dir: c.Dir(), Filter: q.Filter, AsOf: q.At}
	seen := map[string]bool{}
	for _, e := range m.Epochs {
		seen[e.Tenant] = seen[e.Tenant] || q.View.Sees(e.Tenant)
	}
	var files []string
	for _, f := range m.Files {
		files = append(files, f.Path)
	}
	maps.DeleteFunc(seen, func(_ string, sees bool) bool { return !sees })
	switch {
	case q.View.All():
		s.Files = files
	case len(seen) > 0:
		s.Tenants, s.Shared = slices.Sorted(maps.Keys(seen)), files
	}
	return s, release, nil
}

// alike asks both for the same and wants the same answer. It tells whether the
// engine counted.
func (c *countedLake) alike(t *testing.T, g *authz.Grant, q *auditv1.StatsRequest) (*auditv1.StatsResponse, bool) {
	t.Helper()
	before := c.asked.Load()
	counted, sqlErr := c.sql.Client(g, "inside").Stats(t.Context(), q)
	inSQL := c.asked.Load() > before
	scanned, scanErr := c.scan.Client(g, "inside").Stats(t.Context(), q)
	if diff := cmp.Diff(servetest.Remote(scanErr), servetest.Remote(sqlErr)); diff != "" {
		t.Errorf("%v as %s: errors (-scan +SQL):\n%s", q, g.Subject, diff)
	}
	if diff := cmp.Diff(scanned, counted, protocmp.Transform()); diff != "" {
		t.Errorf("%v as %s (-scan +SQL):\n%s", q, g.Subject, diff)
	}
	return scanned, inSQL
}

// Names of all columns of a header.
func columns(t *testing.T) []string {
	t.Helper()
	b, err := json.Marshal(profile.Header{})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(members))
}

const firstTime = 1_793_215_000_100

// fill commits events with values that people have, and that break translations.
func (c *countedLake) fill(t *testing.T) {
	t.Helper()
	tenants := []string{"acme", "acme/eu", "acmeCorp", "globex", "docket", "it's \"é\""}
	texts := []string{"", "a", "A", "b'", `"`, `\`, "%", "é", "e\u0301", "日本", "😀", "a\x00b", "a\nb", "\u2028", "true", "1", "-1", "NULL", "ſ", " ", "  "}
	sequence := map[string]int64{}
	n := 0
	for commit := range 4 {
		var b store.Batch
		for range 60 {
			n++
			pick := func(step, of int) int { return (n*(2*step+1) + n/7*step) % of } // spreads, the same at each run
			text := func(step int) string { return texts[pick(step, 2+step%len(texts))%len(texts)] }
			tenant := tenants[pick(0, len(tenants))]
			uid := uuid.NewSHA1(uuid.Nil, []byte(tenant)).String()
			sequence[uid]++
			sum := sha256.Sum256(fmt.Append(nil, n))
			h := profile.Header{
				MetadataUID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "event", n)).String(), Epoch: uid, Emitter: "gw", Sequence: sequence[uid], Fingerprint: hex.EncodeToString(sum[:]),
				Tenant: tenant, Time: firstTime + int64(commit*3_600_000+pick(3, 50)*977), DurationMS: int64(pick(4, 9)) - 1, Ran: n%3 == 0,
				Kind: []string{"outcome", "result", "access", "finding"}[pick(1, 4)], Decision: []string{"allow", "deny", "modify", "none"}[pick(2, 4)],
				ClassUID: int32(6003 + pick(5, 3)), TypeUID: profile.MaxInteger - int64(pick(6, 3)), ActivityID: int32(pick(7, 2)), SeverityID: int32(pick(8, 4)), StatusID: -int32(pick(9, 3)),
				StatusCode: text(1), StatusDetail: text(2), Message: text(18), OperationUID: text(3), EvaluationUID: text(4), TraceUID: text(5), Service: text(6), Method: text(19),
				Principal: text(7), Source: text(8), Interceptor: text(9), Binding: text(10), Phase: text(11), FailureKind: text(12), FailurePolicy: text(13), PlanDigest: text(14), ReplayGrade: text(15), PrevFingerprint: text(16),
			}
			b.Entries = append(b.Entries, store.Entry{Raw: []byte("{}"), Header: h, StreamSeq: uint64(n)})
		}
		b.StreamSeq = uint64(n)
		if _, err := c.commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// What the database counts is what a scan counts, of everything that can be
// asked.
func TestStatsInSQL(t *testing.T) {
	c := newCountedLake(t)
	admin, acme := grants["admin"], grants["acme"]
	// Of nothing.
	if got, inSQL := c.alike(t, admin, &auditv1.StatsRequest{}); got.GetEvents() != 0 || len(got.GetFacets()) != 6 || len(got.GetHistogram()) != 0 || inSQL {
		t.Errorf("an empty store: %v, in SQL: %t", got, inSQL)
	}
	c.fill(t)
	for all := range slices.Chunk(columns(t), 12) {
		for _, top := range []int32{0, 1, 1000} {
			got, inSQL := c.alike(t, admin, &auditv1.StatsRequest{Facets: all, Top: top})
			if !inSQL || got.GetEvents() != 240 || len(got.GetFacets()) != len(all) {
				t.Errorf("%v: %d events, in SQL: %t", all, got.GetEvents(), inSQL)
			}
			for _, f := range got.GetFacets() {
				n := f.GetOthers()
				for _, v := range f.GetValues() {
					n += v.GetEvents()
				}
				if n != 240 || top == 1 && len(f.GetValues()) != 1 {
					t.Errorf("%s, top %d: %v", f.GetName(), top, f)
				}
			}
		}
	}
	for name, test := range map[string]struct {
		who   *authz.Grant
		q     *auditv1.StatsRequest
		inSQL bool
	}{
		"as it is":               {admin, &auditv1.StatsRequest{}, true},
		"a tenant":               {acme, &auditv1.StatsRequest{Facets: []string{"tenant"}}, true},
		"a part of a tenant":     {acme, &auditv1.StatsRequest{Facets: []string{"tenant", "kind"}, Tenants: []string{"acme/eu"}}, true},
		"two":                    {admin, &auditv1.StatsRequest{Facets: []string{"tenant"}, Tenants: []string{"acme", "it's \"é\""}}, true},
		"all but one":            {admin, &auditv1.StatsRequest{Facets: []string{"tenant"}, ExcludeTenants: []string{"acme"}}, true},
		"a tenant without any":   {admin, &auditv1.StatsRequest{Tenants: []string{"nobody"}}, true},
		"who sees nothing":       {&authz.Grant{Subject: "x", Capabilities: authz.Capabilities()}, &auditv1.StatsRequest{}, true},
		"a foreign one":          {acme, &auditv1.StatsRequest{Tenants: []string{"globex"}}, false},
		"a filter":               {admin, &auditv1.StatsRequest{Filter: `decision == "deny" && kind in ["outcome", "result"]`}, true},
		"a filter of text":       {admin, &auditv1.StatsRequest{Filter: `message.contains("'") || method == "a\nb" || principal == "é"`}, true},
		"a filter of nothing":    {admin, &auditv1.StatsRequest{Filter: `false`}, true},
		"one that has no equal":  {admin, &auditv1.StatsRequest{Filter: `[kind].exists(k, k == "result")`}, false},
		"one that may fail":      {admin, &auditv1.StatsRequest{Filter: `10 / (severity_id - 1) > 2`}, false},
		"one that fails not yet": {admin, &auditv1.StatsRequest{Filter: `1 / (time - ` + fmt.Sprint(firstTime) + `) == 0`, Since: at(firstTime + 1)}, false},
		"a filter that is none":  {admin, &auditv1.StatsRequest{Filter: `kind ==`}, false},
		"since":                  {admin, &auditv1.StatsRequest{Since: at(firstTime + 3_600_000)}, true},
		"until":                  {admin, &auditv1.StatsRequest{Until: at(firstTime + 3_600_000)}, true},
		"between":                {admin, &auditv1.StatsRequest{Since: at(firstTime + 977), Until: at(firstTime + 20*977)}, true},
		"an instant":             {admin, &auditv1.StatsRequest{Since: at(firstTime + 977), Until: at(firstTime + 978)}, true},
		"before all":             {admin, &auditv1.StatsRequest{Until: at(firstTime)}, true},
		"an hour":                {admin, &auditv1.StatsRequest{Interval: durationpb.New(time.Hour)}, true},
		"an odd one":             {admin, &auditv1.StatsRequest{Interval: durationpb.New(977 * time.Millisecond)}, true},
		"a millisecond":          {admin, &auditv1.StatsRequest{Interval: durationpb.New(time.Millisecond)}, true},
		"longer than all":        {admin, &auditv1.StatsRequest{Interval: durationpb.New(100 * 365 * 24 * time.Hour)}, true},
		"a facet twice":          {admin, &auditv1.StatsRequest{Facets: []string{"time", "ran", "time"}}, true},
		"everything":             {acme, &auditv1.StatsRequest{Facets: []string{"time", "ran", "tenant", "message"}, Top: 3, Filter: `!ran || duration_ms > 2`, Since: at(firstTime + 5000), Interval: durationpb.New(time.Minute), Tenants: []string{"acme"}}, true},
	} {
		if _, inSQL := c.alike(t, test.who, test.q); inSQL != test.inSQL {
			t.Errorf("%s: in SQL: %t", name, inSQL)
		}
	}
	// And of whatever else.
	names := columns(t)
	requests := rapid.Custom(func(r *rapid.T) *auditv1.StatsRequest {
		q := &auditv1.StatsRequest{
			Facets: rapid.SliceOfN(rapid.SampledFrom(names), 0, 4).Draw(r, "facets"), Top: rapid.SampledFrom([]int32{0, 1, 2, 5, 1000}).Draw(r, "top"),
			Filter:  rapid.SampledFrom([]string{"", "true", "ran", `kind != "access"`, `tenant.startsWith("acme")`, `severity_id % 2 == 0`, `size(message) > 1`, `status_code < "b"`}).Draw(r, "filter"),
			Tenants: rapid.SliceOfN(rapid.SampledFrom([]string{"acme", "acme/eu", "globex"}), 0, 2).Draw(r, "tenants"), ExcludeTenants: rapid.SliceOfN(rapid.SampledFrom([]string{"acme/eu", "docket"}), 0, 1).Draw(r, "exclude"),
		}
		if since := rapid.Int64Range(-1, 3).Draw(r, "since"); since >= 0 {
			q.Since = at(firstTime + since*3_600_000 + rapid.Int64Range(0, 60_000).Draw(r, "ms"))
		}
		if until := rapid.Int64Range(-1, 4).Draw(r, "until"); until >= 0 {
			q.Until = at(firstTime + until*3_600_000 + rapid.Int64Range(0, 60_000).Draw(r, "ms"))
		}
		if ms := rapid.SampledFrom([]int64{0, 1, 7, 1000, 60_000}).Draw(r, "interval"); ms > 0 {
			q.Interval = durationpb.New(time.Duration(ms) * time.Millisecond)
		}
		return q
	})
	for seed := range 24 {
		c.alike(t, admin, requests.Example(seed))
	}
}

// A histogram of more buckets than there may be is refused in the same words.
func TestTooManyBucketsInSQL(t *testing.T) {
	c := newCountedLake(t)
	var b store.Batch
	uid := uuid.NewSHA1(uuid.Nil, []byte("many")).String()
	for i := range int64(10_001) {
		sum := sha256.Sum256(fmt.Append(nil, i))
		h := profile.Header{MetadataUID: uuid.NewSHA1(uuid.Nil, sum[:]).String(), Epoch: uid, Emitter: "gw", Sequence: i + 1, Fingerprint: hex.EncodeToString(sum[:]), Tenant: "acme", Kind: "outcome", Time: firstTime + 2*i}
		b.Entries = append(b.Entries, store.Entry{Raw: []byte("{}"), Header: h, StreamSeq: uint64(i + 1)})
	}
	b.StreamSeq = 10_001
	if _, err := c.commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	_, err := c.sql.Client(grants["admin"], "inside").Stats(t.Context(), &auditv1.StatsRequest{Interval: durationpb.New(time.Millisecond)})
	refused(t, "too many", err, "invalid_argument", "interval")
	for _, q := range []*auditv1.StatsRequest{
		{Interval: durationpb.New(time.Millisecond)},
		{Interval: durationpb.New(time.Millisecond), Until: at(firstTime + 20_000)},
		{Interval: durationpb.New(2 * time.Millisecond)},
		{Interval: durationpb.New(4 * time.Millisecond), Facets: []string{"time", "sequence"}},
		{Facets: []string{"metadata_uid"}},
	} {
		if _, inSQL := c.alike(t, grants["admin"], q); !inSQL {
			t.Errorf("%v: not in SQL", q)
		}
	}
}
