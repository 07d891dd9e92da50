// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package reading

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	arrowflight "github.com/apache/arrow/go/v17/arrow/flight"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// TestMain also makes this program the one that answers queries.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[0] == "docket" && os.Args[1] == AnswerVerb {
		if err := sql.Answer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// tenants are those of the lake of these tests. Some begin as others do.
var tenants = []string{"acme", "acme/eu", "acmeCorp", "globex", "globex/eu", "docket"}

// mark stands in every text of a tenant's events, and in nobody else's.
func mark(tenant string) string {
	return "mark<" + strings.NewReplacer("/", ".").Replace(tenant) + ">"
}

// fill makes a lake whose files hold the events of several tenants each, and some
// of one alone.
func fill(t *testing.T, dir string) *lake.Lake {
	t.Helper()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	links := map[string]*profile.Link{}
	for i, tenant := range tenants {
		links[tenant] = &profile.Link{Emitter: "gw-0", Epoch: fmt.Sprintf("0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d%02x", i)}
	}
	var seq uint64
	for commit, of := range [][]string{tenants, {"acme"}, {"globex", "acme"}, {"acmeCorp"}, {"acme/eu", "globex/eu"}} {
		var b store.Batch
		for _, tenant := range of {
			for i := range 3 {
				e := &ocsf.DetectionFinding{
					ActivityID: ocsf.DetectionFindingCreate,
					Base: ocsf.Base{
						Time: 1_793_215_000_000 + int64(commit*10+i), SeverityID: ocsf.SeverityHigh, Message: mark(tenant) + " message",
						Metadata: ocsf.Metadata{UID: fmt.Sprintf("%s-e%d-%d", mark(tenant), commit, i), EventCode: profile.KindFinding, TenantUID: tenant, Product: &ocsf.Product{Name: "docket"}},
					},
					FindingInfo: &ocsf.FindingInfo{UID: mark(tenant) + "-f"},
				}
				link := links[tenant]
				link.Sequence++
				raw, fingerprint, err := profile.Seal(e, *link)
				if err != nil {
					t.Fatal(err)
				}
				header, err := profile.Parse(raw)
				if err != nil {
					t.Fatal(err)
				}
				link.PrevUID, link.PrevFingerprint = header.MetadataUID, fingerprint
				seq++
				b.Entries = append(b.Entries, store.Entry{Raw: raw, Header: header, StreamSeq: seq})
			}
		}
		b.StreamSeq = seq
		if _, err := l.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// doorOf opens the door of a lake. The bearer is the list of prefixes, behind its
// name and a colon.
func doorOf(t *testing.T, l Lake) *flightsql.Client {
	t.Helper()
	door, err := flight.New(flight.Config{
		Engine: Arrow(l, Processes(sql.Limits{})),
		Authorize: func(_ context.Context, md metadata.MD) (*authz.Grant, error) {
			name, prefixes, _ := strings.Cut(strings.TrimPrefix(md.Get("authorization")[0], "Bearer "), ":")
			g := &authz.Grant{Subject: name, By: authz.ByToken, Capabilities: []authz.Capability{authz.SQL}}
			if prefixes != "" {
				g.Prefixes = strings.Split(prefixes, ",")
			}
			return g, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- door.Serve(lis) }()
	c, err := flightsql.NewClient(lis.Addr().String(), nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), door.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return c
}

func as(ctx context.Context, prefixes ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.Join(prefixes, "+")+":"+strings.Join(prefixes, ","))
}

// query returns all that an answer says, errors and schema included.
func query(ctx context.Context, c *flightsql.Client, text string) (string, error) {
	info, err := c.Execute(ctx, text)
	if err != nil {
		return "", err
	}
	return redeem(ctx, c, info)
}

func redeem(ctx context.Context, c *flightsql.Client, info *arrowflight.FlightInfo) (string, error) {
	r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return "", err
	}
	defer r.Release()
	var out strings.Builder
	fmt.Fprintln(&out, r.Schema())
	for r.Next() {
		for i := range int(r.Record().NumRows()) {
			for _, column := range r.Record().Columns() {
				out.WriteString(column.ValueStr(i) + ";")
			}
			out.WriteByte('\n')
		}
	}
	return out.String(), r.Err()
}

// Whatever the prefixes of a caller are, there is nothing in an answer of tenants
// that they do not cover, and everything of those that they do.
func TestFlightSeesWhatIsGranted(t *testing.T) {
	l := fill(t, t.TempDir())
	c := doorOf(t, l)
	questions := []string{
		"SELECT * FROM events", "SELECT _raw FROM events WHERE true OR tenant = 'globex'", "FROM detection_finding", "SELECT string_agg(_raw || message) FROM events",
		"SELECT min(tenant), max(tenant), mode(metadata_uid) FROM events", "SELECT stats(message) FROM events", "SELECT error(string_agg(_raw)) FROM events",
		"SELECT CAST(message AS INTEGER) FROM events", "SUMMARIZE events", "SELECT * FROM events ORDER BY time DESC LIMIT 3",
	}
	const seen = "SELECT DISTINCT tenant FROM events ORDER BY ALL"
	// A ticket says what is asked, and not whose events are seen.
	as := func(ctx context.Context, prefixes ...string) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer somebody:"+strings.Join(prefixes, ","))
	}
	tickets := map[string]*arrowflight.FlightInfo{}
	for _, text := range append(questions, seen) {
		info, err := c.Execute(as(t.Context()), text)
		if err != nil {
			t.Fatal(err)
		}
		tickets[text] = info
	}
	rapid.Check(t, func(r *rapid.T) {
		prefixes := rapid.SliceOfDistinct(rapid.SampledFrom(append([]string{"", "nobody", "acm", "globex/", "acme/e"}, tenants...)), rapid.ID[string]).Draw(r, "prefixes")
		g := &authz.Grant{Prefixes: prefixes}
		text := rapid.OneOf(rapid.Just(seen), rapid.SampledFrom(questions)).Draw(r, "question")
		got, err := redeem(as(t.Context(), prefixes...), c, tickets[text])
		said := got + fmt.Sprint(err)
		for _, tenant := range tenants {
			if !g.Covers(tenant) && strings.Contains(said, mark(tenant)) {
				r.Fatalf("%v of %v says %s", text, prefixes, said)
			}
		}
		if text != seen {
			return
		}
		want := ""
		for _, tenant := range slices.Sorted(slices.Values(tenants)) {
			if g.Covers(tenant) {
				want += tenant + ";\n"
			}
		}
		if err != nil || !strings.HasSuffix(got, want) || strings.Count(got, ";\n") != strings.Count(want, ";\n") {
			r.Fatalf("%v sees %q, %v, want %q", prefixes, got, err, want)
		}
	})
	// All, and none at all.
	for prefixes, want := range map[string]string{"/": "36;\n", "": "0;\n", "acme": "15;\n"} {
		if got, err := query(as(t.Context(), prefixes), c, "SELECT count(*) FROM events"); err != nil || !strings.HasSuffix(got, "\n"+want) {
			t.Errorf("%q: %s, %v", prefixes, got, err)
		}
	}
}

// What one caller was given is of no use to another, and what one sees is made of
// the grant of the call that gets the rows.
func TestFlightTicketsOfOthers(t *testing.T) {
	c := doorOf(t, fill(t, t.TempDir()))
	acme, globex := as(t.Context(), "acme"), as(t.Context(), "globex")
	info, err := c.Execute(acme, "SELECT _raw FROM events")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := redeem(globex, c, info); status.Code(err) != codes.NotFound || strings.Contains(got, "mark") {
		t.Errorf("another's ticket: %s, %v", got, err)
	}
	// The same name with fewer rights, as after a new token.
	fewer := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer acme:acme/eu")
	if got, err := redeem(fewer, c, info); err != nil || strings.Contains(got, mark("acme")) || !strings.Contains(got, mark("acme/eu")) {
		t.Errorf("with fewer rights: %s, %v", got, err)
	}
	p, err := c.Prepare(acme, "SELECT _raw FROM events WHERE tenant = ? OR true")
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.Append("globex")
	p.SetParameters(array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "1", Type: arrow.BinaryTypes.String}}, nil), []arrow.Array{b.NewArray()}, 1))
	info, err = p.Execute(acme)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := redeem(acme, c, info); err != nil || !strings.Contains(got, mark("acme")) || strings.Contains(got, mark("globex")) {
		t.Errorf("its own statement: %s, %v", got, err)
	}
	if got, err := redeem(globex, c, info); status.Code(err) != codes.NotFound || strings.Contains(got, "mark") {
		t.Errorf("another's statement: %s, %v", got, err)
	}
}

// SQL that tries to get out finds the same walls behind this door.
func TestFlightEscapes(t *testing.T) {
	dir := t.TempDir()
	l := fill(t, dir)
	c := doorOf(t, l)
	ctx := as(t.Context(), "acme")
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".parquet") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all []string
	for _, path := range append(files[:2], filepath.Join(dir, "**/*.parquet"), "/etc/passwd") {
		p := "'" + path + "'"
		all = append(all,
			"FROM "+p, "FROM read_parquet("+p+")", "FROM parquet_metadata("+p+")", "FROM read_text("+p+")", "FROM read_blob("+p+")", "FROM glob("+p+")",
			"FROM query('FROM "+strings.ReplaceAll(p, "'", "''")+"')", "SELECT (SELECT count(*) FROM "+p+")", "SELECT * FROM events, LATERAL (FROM "+p+")",
			"COPY events TO "+p, "ATTACH "+p, "CREATE VIEW v AS FROM "+p, "EXPLAIN ANALYZE FROM "+p, "DESCRIBE "+p, "SUMMARIZE "+p, `FROM "`+path+`"`,
		)
	}
	all = append(all, "FROM _shared", "FROM _inner._shared", "SELECT stats(message) FROM _inner._shared", "SET enable_external_access = true", "SELECT current_setting('allowed_paths')", "FROM duckdb_settings()",
		"SELECT getenv('HOME')", "INSTALL httpfs", "LOAD httpfs", "EXPORT DATABASE '"+dir+"/out'", "FROM 'https://127.0.0.1:1/x'", "SELECT * FROM events; DROP VIEW events", "PRAGMA database_list", "FROM duckdb_temporary_files()")
	listing := func() (names []string) {
		_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
			if filepath.Base(path) == lake.IndexDir {
				return filepath.SkipDir // those of the last segments are still being made
			}
			names = append(names, path)
			return nil
		})
		return names
	}
	before := listing()
	for _, text := range all {
		got, err := query(ctx, c, text)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		said := strings.ReplaceAll(got+fmt.Sprint(err), text, "")
		for _, tenant := range []string{"acmeCorp", "globex", "globex/eu", "docket"} {
			if strings.Contains(said, mark(tenant)) {
				t.Errorf("%s says %.300s", text, said)
			}
		}
		if strings.Contains(said, "root:") {
			t.Errorf("%s says %.300s", text, said)
		}
	}
	if after := listing(); !slices.Equal(before, after) {
		t.Errorf("the directory held %v, and holds %v", before, after)
	}
}
