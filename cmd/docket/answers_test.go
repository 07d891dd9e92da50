// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/serve/servetest"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// What is posed is asked at every door that has words for it. gRPC and REST always
// do.
type posed struct {
	request proto.Message
	verb    []string // the same on the command line; nil: no verb asks it
	export  []string // the same of docket export, less the file; nil: it has no words for it
	sql     string   // the same over Flight SQL; "": there is no SELECT for it
	usage   bool     // the verb refuses it before anybody is asked
}

// questions are the table, by method. No verb asks GetLedger, StartReplay and GetReplay
// of a server, and no SELECT these or for plans: plans, proofs and replays are not in
// events. docket replay asks for events by the methods that are here, and replays them
// itself.
func questions(replay string) map[string][]posed {
	at := func(ms int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Nanos: int32(ms * 1e6)} }
	search := func(flags ...string) []string { return append([]string{"search", "-o", "ndjson"}, flags...) }
	tail := func(flags ...string) []string {
		return append([]string{"tail", "-o", "ndjson", "--follow=false"}, flags...)
	}
	stats := func(flags ...string) []string { return append([]string{"stats", "-o", "json"}, flags...) }
	query := func(sql string, flags ...string) []string {
		return append([]string{"query", "-o", "json", sql}, flags...)
	}
	const stored = " ORDER BY _commit, _pos"
	counts := func(column, from string) string {
		return "SELECT " + column + ", count(*) FROM " + from + " GROUP BY ALL ORDER BY 2 DESC, 1"
	}
	const values = "SELECT metadata_uid AS uid, time, ran, duration_ms / 4 AS quarter, NULL AS nothing, message AS \"é \", 'a' || chr(10) AS \"quoted\"\"\" FROM events WHERE time < 4 ORDER BY time"
	return map[string][]posed{
		"SearchEvents": {
			{request: &auditv1.SearchEventsRequest{}, verb: search("--all", "--oldest-first"), export: []string{}, sql: "SELECT _raw FROM events ORDER BY time, _commit, _pos"},
			{request: &auditv1.SearchEventsRequest{PageSize: 2}, verb: search("--limit", "2", "--oldest-first"), sql: "SELECT _raw FROM events ORDER BY time, _commit, _pos LIMIT 2"},
			{request: &auditv1.SearchEventsRequest{NewestFirst: true, PageSize: 3}, verb: search("--limit", "3"), sql: "SELECT _raw FROM events ORDER BY time DESC, _commit DESC, _pos DESC LIMIT 3"},
			{request: &auditv1.SearchEventsRequest{Filter: `tenant == "acme" && decision == "deny"`, Tenants: []string{"acme"}}, verb: search("--all", "--oldest-first", "--filter", `decision == "deny"`, "--tenant", "acme"), export: []string{"--decision", "deny", "--tenant", "acme"}, sql: "SELECT _raw FROM events WHERE decision = 'deny' AND tenant = 'acme' ORDER BY time, _commit, _pos"},
			{request: &auditv1.SearchEventsRequest{Since: at(2), Until: at(4)}, verb: search("--oldest-first", "--since", "1970-01-01T00:00:00.002Z", "--until", "1970-01-01T00:00:00.004Z"), export: []string{"--since", "1970-01-01T00:00:00.002Z", "--until", "1970-01-01T00:00:00.004Z"}, sql: "SELECT _raw FROM events WHERE time >= 2 AND time < 4 ORDER BY time"},
			{request: &auditv1.SearchEventsRequest{Filter: "nonsense"}, verb: search("--filter", "nonsense"), export: []string{"--filter", "nonsense"}, usage: true},
			{request: &auditv1.SearchEventsRequest{PageSize: -1}},
			{request: &auditv1.SearchEventsRequest{PageToken: "x"}},
			{request: &auditv1.SearchEventsRequest{Tenants: []string{"globex"}}, verb: search("--all", "--oldest-first", "--tenant", "globex"), export: []string{"--tenant", "globex"}},
			{request: &auditv1.SearchEventsRequest{ExcludeTenants: []string{"acme"}}},
			{request: &auditv1.SearchEventsRequest{Since: at(4), Until: at(4)}},
			{request: &auditv1.SearchEventsRequest{Filter: "1/0 == time"}, verb: search("--filter", "1/0 == time"), export: []string{"--filter", "1/0 == time"}},
		},
		"GetEvent": {
			{request: &auditv1.GetEventRequest{Uid: "event-1"}, sql: "SELECT _raw, _commit, _pos FROM events WHERE metadata_uid = 'event-1'"},
			{request: &auditv1.GetEventRequest{Uid: "event-4"}, sql: "SELECT _raw, _commit, _pos FROM events WHERE metadata_uid = 'event-4'"},
			{request: &auditv1.GetEventRequest{Uid: "event-2"}, sql: "SELECT _raw, _commit, _pos FROM events WHERE metadata_uid = 'event-2'"},
			{request: &auditv1.GetEventRequest{Uid: "é ?#%"}, sql: "SELECT _raw, _commit, _pos FROM events WHERE metadata_uid = 'é ?#%'"},
		},
		"ListOperations": {
			{request: &auditv1.ListOperationsRequest{}, sql: operationsSQL("")},
			{request: &auditv1.ListOperationsRequest{PageSize: 1}, verb: []string{"show", "-o", "ndjson"}, sql: operationsSQL("LIMIT 1")}, // the newest, with its events
			{request: &auditv1.ListOperationsRequest{PageSize: 1, Filter: `decision == "deny"`}, verb: []string{"show", "-o", "ndjson", "--decision", "deny"}},
			{request: &auditv1.ListOperationsRequest{Tenants: []string{"acme"}, Filter: `tenant == "acme"`}, sql: strings.Replace(operationsSQL(""), "FROM operations", "FROM operations WHERE tenant = 'acme'", 1)},
			{request: &auditv1.ListOperationsRequest{Tenants: []string{"globex"}, PageSize: 1}, verb: []string{"show", "-o", "ndjson", "--tenant", "globex"}},
			{request: &auditv1.ListOperationsRequest{Filter: "x"}},
		},
		"GetOperation": {
			{request: &auditv1.GetOperationRequest{Uid: "op-1"}, verb: []string{"show", "-o", "ndjson", "op-1"}, sql: "SELECT _raw FROM events WHERE operation_uid = 'op-1' ORDER BY time, _commit, _pos"},
			{request: &auditv1.GetOperationRequest{Uid: "op-2"}, verb: []string{"show", "-o", "ndjson", "op-2"}, sql: "SELECT _raw FROM events WHERE operation_uid = 'op-2' ORDER BY time, _commit, _pos"},
			{request: &auditv1.GetOperationRequest{Uid: "op-6"}, verb: []string{"show", "-o", "ndjson", "op-6"}, sql: "SELECT _raw FROM events WHERE operation_uid = 'op-6' ORDER BY time, _commit, _pos"},
		},
		"Stats": {
			{request: &auditv1.StatsRequest{Top: 10}, verb: stats(), sql: counts("kind", "events")}, // SQL: of the first facet
			{request: &auditv1.StatsRequest{Facets: []string{"tenant", "ran", "time"}, Top: 100, Interval: durationpb.New(2e6)}, verb: stats("--facet", "tenant,ran", "--facet", "time", "--top", "100", "--interval", "2ms"), sql: counts("tenant", "events")},
			{request: &auditv1.StatsRequest{Facets: []string{"principal"}, Top: 100, Filter: `decision == "deny"`}, verb: stats("--facet", "principal", "--top", "100", "--decision", "deny"), sql: counts("principal", "events WHERE decision = 'deny'")},
			{request: &auditv1.StatsRequest{Interval: &durationpb.Duration{}}},
			{request: &auditv1.StatsRequest{Top: 10, Facets: []string{"x"}}, verb: stats("--facet", "x")},
			{request: &auditv1.StatsRequest{Top: -1}, verb: stats("--top", "-1")},
			{request: &auditv1.StatsRequest{Top: 10, Tenants: []string{"globex"}, Filter: `tenant == "globex"`}, verb: stats("--tenant", "globex")},
			{request: &auditv1.StatsRequest{Top: 10, Filter: `tenant == "none"`}, verb: stats("--filter", `tenant == "none"`), sql: counts("kind", "events WHERE tenant = 'none'")},
			{request: &auditv1.StatsRequest{Interval: durationpb.New(1)}},
		},
		"Tail": {
			{request: &auditv1.TailRequest{Last: 2, Filter: `decision == "deny"`}, verb: tail("--last", "2", "--decision", "deny"), sql: "SELECT _raw FROM (FROM events WHERE decision = 'deny' ORDER BY _commit DESC, _pos DESC LIMIT 2)" + stored},
			{request: &auditv1.TailRequest{}},
			{request: &auditv1.TailRequest{All: true}, sql: "SELECT _raw FROM events" + stored},
			{request: &auditv1.TailRequest{Since: at(3)}, verb: tail("--since", "1970-01-01T00:00:00.003Z"), sql: "SELECT _raw FROM events WHERE time >= 3" + stored},
			{request: &auditv1.TailRequest{ResumeToken: "x"}, verb: tail("--resume", "x")},
			{request: &auditv1.TailRequest{Last: -1}},
			{request: &auditv1.TailRequest{Last: 1, All: true}},
			{request: &auditv1.TailRequest{Last: 1, Tenants: []string{"globex"}, Filter: `tenant == "globex"`}, verb: tail("--last", "1", "--tenant", "globex")},
		},
		"GetPlan": {
			{request: &auditv1.GetPlanRequest{Digest: planDigest}, verb: []string{"plans", "show", "-o", "json", planDigest}},
			{request: &auditv1.GetPlanRequest{Digest: strings.Repeat("0", 64)}, verb: []string{"plans", "show", "-o", "json", strings.Repeat("0", 64)}},
			{request: &auditv1.GetPlanRequest{Digest: "x"}},
		},
		"ListPlans": {
			{request: &auditv1.ListPlansRequest{}, verb: []string{"plans", "ls", "-o", "ndjson"}},
			{request: &auditv1.ListPlansRequest{Gateway: "gateway-0"}, verb: []string{"plans", "ls", "-o", "ndjson", "--gateway", "gateway-0"}},
			{request: &auditv1.ListPlansRequest{Since: timestamppb.New(time.Unix(2, 0))}, verb: []string{"plans", "ls", "-o", "ndjson", "--since", "1970-01-01T00:00:02Z"}},
			{request: &auditv1.ListPlansRequest{Since: timestamppb.New(time.Unix(2, 0)), Until: timestamppb.New(time.Unix(1, 0))}},
		},
		"GetLedger": {
			{request: &auditv1.GetLedgerRequest{}},
			{request: &auditv1.GetLedgerRequest{Event: "event-6"}},
			{request: &auditv1.GetLedgerRequest{Event: "event-1"}},
			{request: &auditv1.GetLedgerRequest{Event: "event-2"}},
			{request: &auditv1.GetLedgerRequest{Event: "none"}},
		},
		// A replay has an id of its own each time: what is one for all is why there is none.
		"StartReplay": {
			{request: &auditv1.StartReplayRequest{Plan: "x"}},
			{request: &auditv1.StartReplayRequest{Plan: strings.Repeat("0", 64)}},
			{request: &auditv1.StartReplayRequest{Filter: "x"}},
			{request: &auditv1.StartReplayRequest{Tenants: []string{"globex"}, Plan: "x"}},
		},
		"GetReplay": {{request: &auditv1.GetReplayRequest{Id: replay}}, {request: &auditv1.GetReplayRequest{Id: "none"}}},
		"Query": {
			{request: &auditv1.QueryRequest{Sql: values}, verb: query(values), sql: values},
			{request: &auditv1.QueryRequest{Sql: "SELECT tenant, count(*) AS n FROM events GROUP BY ALL ORDER BY ALL", Tenants: []string{"acme/eu"}}, verb: query("SELECT tenant, count(*) AS n FROM events GROUP BY ALL ORDER BY ALL", "--tenant", "acme/eu"), sql: "SELECT tenant, count(*) AS n FROM events WHERE tenant = 'acme/eu' GROUP BY ALL ORDER BY ALL"},
			{request: &auditv1.QueryRequest{Sql: "SELECT count(*) AS n FROM operations", Filter: `decision == "deny"`}, verb: query("SELECT count(*) AS n FROM operations", "--filter", `decision == "deny"`), sql: "SELECT count(*) AS n FROM operations WHERE decision = 'deny'"},
			{request: &auditv1.QueryRequest{Sql: "SELECT count(*) AS n FROM events", At: 1}, verb: query("SELECT count(*) AS n FROM events", "--at", "1"), sql: "SELECT count(*) AS n FROM events WHERE _commit <= 1"},
			{request: &auditv1.QueryRequest{Sql: "SELECT uid FROM events WHERE false"}, verb: query("SELECT uid FROM events WHERE false"), sql: "SELECT uid FROM events WHERE false"},
			{request: &auditv1.QueryRequest{Sql: "SELECT tenant AS none FROM events WHERE false"}, verb: query("SELECT tenant AS none FROM events WHERE false"), sql: "SELECT tenant AS none FROM events WHERE false"},
			{request: &auditv1.QueryRequest{Sql: "DROP VIEW events"}, verb: query("DROP VIEW events"), sql: "DROP VIEW events"},
			{request: &auditv1.QueryRequest{Sql: "SELECT 1; SELECT 2"}, verb: query("SELECT 1; SELECT 2"), sql: "SELECT 1; SELECT 2"},
			{request: &auditv1.QueryRequest{Sql: "SELECT error('told late') FROM events"}, verb: query("SELECT error('told late') FROM events"), sql: "SELECT error('told late') FROM events"},
			{request: &auditv1.QueryRequest{}},
			{request: &auditv1.QueryRequest{Sql: "SELECT 1", At: 99}, verb: query("SELECT 1", "--at", "99")},
			{request: &auditv1.QueryRequest{Sql: "busy"}},
			{request: &auditv1.QueryRequest{Sql: "broken"}},
			{request: &auditv1.QueryRequest{Sql: "late"}},
			{request: &auditv1.QueryRequest{Sql: "SELECT 1", Tenants: []string{"globex"}}, verb: query("SELECT 1", "--tenant", "globex")},
		},
	}
}

// operationsSQL asks for what ListOperations answers; a timestamp of protobuf ends
// with the year 9999.
func operationsSQL(behind string) string {
	return "SELECT operation_uid, tenant, least(time, 253402300799999), service, method, principal, decision, status_code, ran FROM operations ORDER BY time DESC, _commit DESC, _pos DESC " + behind
}

// Each method gives the same answer by gRPC, in REST, within the process, by the
// command line and over Flight SQL, and the same error.
func TestOneAnswer(t *testing.T) {
	h := newHouse(t)
	h.oneAnswer(t, questions(h.replay(t)))
}

// oneAnswer asks all of a table at all doors.
func (h *house) oneAnswer(t *testing.T, all map[string][]posed) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(servetest.RPCs)), slices.Sorted(maps.Keys(all))); diff != "" {
		t.Errorf("methods (-there are +asked):\n%s", diff)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for i, q := range all[name] {
			for _, token := range []string{"admin", "acme", "nothing", "expired"} {
				what := fmt.Sprintf("%s %d (%v) as %s", name, i, q.request, token)
				want := servetest.Ask(h.as(t, token), h.client, name, q.request)
				for door, got := range map[string]servetest.Said{"REST": h.inREST(t, token, name, q.request), "within the process": servetest.Ask(t.Context(), h.server.Client(grants[token], "directory"), name, q.request)} {
					if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
						t.Errorf("%s (-gRPC +%s):\n%s", what, door, diff)
					}
				}
				if token == "admin" && i == 0 && name != "StartReplay" && (want.Error != nil || len(want.Messages) == 0) {
					t.Errorf("%s: %+v", what, want)
				}
				if i > 0 && (token == "nothing" || token == "expired" || underRace && token != "admin") {
					continue // who is refused is refused, whatever the question: one tells
				}
				if q.verb != nil {
					h.sameByVerb(t, what, token, name, q, want)
				}
				if q.export != nil {
					h.sameByExport(t, what, token, name, q, want)
				}
				if q.sql != "" {
					h.sameBySQL(t, what, token, name, q, want)
				}
			}
		}
	}
	// The bytes of events are those that were stored.
	moments := servetest.Ask(h.as(t, "admin"), h.client, "GetOperation", &auditv1.GetOperationRequest{Uid: "op-1"}).Messages[0].(*auditv1.GetOperationResponse).GetMoments()
	if len(moments) != 3 || !bytes.Equal(moments[0].GetEvent(), h.stored["event-1"]) || !bytes.Equal(moments[1].GetEvent(), h.stored["event-4"]) {
		t.Errorf("other bytes: %v", moments)
	}
}

// sameByVerb has the command line ask over a context, and compares what it prints.
func (h *house) sameByVerb(t *testing.T, what, token, name string, q posed, want servetest.Said) {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(root(), append([]string{"--context", token}, q.verb...), &out, &errs)
	if e := want.Error; e != nil {
		says, exits := e.Message, cli.ExitFailure
		switch {
		case q.usage: // in words of the flag
			says, exits = "--", cli.ExitUsage
		case e.Code == "not_found" && name == "GetOperation": // in words of the verb
			says = "no event of operation " + q.request.(*auditv1.GetOperationRequest).GetUid()
		}
		if code != exits || !strings.Contains(errs.String(), cli.EscapeText(says)) {
			t.Errorf("%s: %q exits %d and says\n%swant %d and %q", what, q.verb, code, &errs, exits, says)
		}
		if len(want.Messages) == 0 && strings.Trim(out.String(), "[]\n ") != "" {
			t.Errorf("%s: %q is refused and prints %s", what, q.verb, &out)
		}
		return
	}
	var printed []string
	switch name {
	case "ListOperations": // show prints the events of the first
		found := want.Messages[0].(*auditv1.ListOperationsResponse).GetOperations()
		if len(found) == 0 {
			if code == cli.ExitOK || !strings.Contains(errs.String(), "no operation has an outcome like that") {
				t.Errorf("%s: %q exits %d and says\n%s", what, q.verb, code, &errs)
			}
			return
		}
		printed = h.values(t, "GetOperation", servetest.Ask(h.as(t, token), h.client, "GetOperation", &auditv1.GetOperationRequest{Uid: found[0].GetUid()}))
	case "Stats":
		if diff := cmp.Diff(statsOf(want.Messages[0].(*auditv1.StatsResponse)), decoded(t, out.Bytes())); diff != "" || code != cli.ExitOK {
			t.Errorf("%s: %q exits %d, %s (-gRPC +command line):\n%s", what, q.verb, code, &errs, diff)
		}
		return
	case "GetPlan":
		if diff := cmp.Diff(decoded(t, want.Messages[0].(*auditv1.GetPlanResponse).GetPlan()), decoded(t, out.Bytes())); diff != "" || code != cli.ExitOK {
			t.Errorf("%s: %q exits %d, %s (-gRPC +command line):\n%s", what, q.verb, code, &errs, diff)
		}
		return
	case "ListPlans":
		for _, p := range want.Messages[0].(*auditv1.ListPlansResponse).GetPlans() {
			line, err := json.Marshal(planLineOf(p))
			if err != nil {
				t.Fatal(err)
			}
			printed = append(printed, string(line))
		}
	case "Query":
		if diff := cmp.Diff(queried(t, want.Messages), inOrder(t, out.Bytes())); diff != "" || code != cli.ExitOK {
			t.Errorf("%s: %q exits %d, %s (-gRPC +command line):\n%s", what, q.verb, code, &errs, diff)
		}
		return
	default:
		printed = h.values(t, name, want)
	}
	if diff := cmp.Diff(strings.Join(printed, ""), strings.ReplaceAll(out.String(), "}\n", "}")); diff != "" || code != cli.ExitOK {
		t.Errorf("%s: %q exits %d, %s (-gRPC +command line):\n%s", what, q.verb, code, &errs, diff)
	}
}

// sameByExport has docket export ask over a context, and compares what is in the file,
// which is not there after an error.
func (h *house) sameByExport(t *testing.T, what, token, name string, q posed, want servetest.Said) {
	t.Helper()
	var out, errs bytes.Buffer
	to := filepath.Join(t.TempDir(), "events.ndjson")
	code := cli.Run(root(), append([]string{"--context", token, "export", "--to", to}, q.export...), &out, &errs)
	got, err := os.ReadFile(to)
	if e := want.Error; e != nil {
		says, exits := e.Message, cli.ExitFailure
		if q.usage {
			says, exits = "--", cli.ExitUsage
		}
		if code != exits || !strings.Contains(errs.String(), cli.EscapeText(says)) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: export %q exits %d and says\n%swant %d and %q; the file: %v", what, q.export, code, &errs, exits, says, err)
		}
		return
	}
	var lines strings.Builder
	for _, event := range h.values(t, name, want) {
		lines.WriteString(event + "\n")
	}
	if diff := cmp.Diff(lines.String(), string(got)); diff != "" || err != nil || code != cli.ExitOK || out.Len() > 0 {
		t.Errorf("%s: export %q exits %d, %v, %s%s (-gRPC +file):\n%s", what, q.export, code, err, &out, &errs, diff)
	}
}

// sameBySQL asks over Flight SQL, and compares rows as values.
func (h *house) sameBySQL(t *testing.T, what, token, name string, q posed, want servetest.Said) {
	t.Helper()
	columns, rows, refused := h.bySQL(t, token, q.sql)
	if e := want.Error; e != nil && (name == "Query" || refused != nil) {
		// What a caller lacks for a method is not always what they lack for SQL.
		if refused == nil || refused.Code != e.Code || refused.Message == "" || name == "Query" && !strings.Contains(e.Message, refused.Message) {
			t.Errorf("%s: %s is refused with %+v, want %+v", what, q.sql, refused, *e)
		}
		return
	}
	if refused != nil {
		t.Errorf("%s: %s: %+v", what, q.sql, *refused)
		return
	}
	if e := want.Error; e != nil { // what is not there, or is somebody else's, has no row
		if e.Code != "not_found" || len(rows) > 0 {
			t.Errorf("%s: %s has %v, want %+v", what, q.sql, rows, *e)
		}
		return
	}
	var expected [][]any
	switch name {
	case "GetEvent":
		m := want.Messages[0].(*auditv1.GetEventResponse)
		expected = append(expected, []any{string(m.GetEvent()), numeral(m.GetCommit()), numeral(m.GetPosition())})
	case "ListOperations":
		for _, o := range want.Messages[0].(*auditv1.ListOperationsResponse).GetOperations() {
			expected = append(expected, []any{o.GetUid(), o.GetTenant(), numeral(o.GetTime().AsTime().UnixMilli()), o.GetService(), o.GetMethod(), o.GetPrincipal(), o.GetDecision(), o.GetStatusCode(), o.GetRan()})
		}
	case "Stats":
		f := want.Messages[0].(*auditv1.StatsResponse).GetFacets()[0]
		for _, v := range f.GetValues() {
			expected = append(expected, []any{v.GetValue(), numeral(v.GetEvents())})
		}
	case "Query":
		first := want.Messages[0].(*auditv1.QueryResponse).GetColumns()
		if diff := cmp.Diff(first, columns); diff != "" {
			t.Errorf("%s: columns (-gRPC +Flight SQL):\n%s", what, diff)
		}
		for _, row := range queried(t, want.Messages) {
			var cells []any
			for _, m := range row {
				cells = append(cells, m.value)
			}
			expected = append(expected, cells)
		}
	default:
		for _, event := range h.values(t, name, want) {
			expected = append(expected, []any{event})
		}
	}
	if diff := cmp.Diff(expected, rows); diff != "" {
		t.Errorf("%s: %s (-gRPC +Flight SQL):\n%s", what, q.sql, diff)
	}
}

// values are the events of an answer.
func (h *house) values(t *testing.T, name string, s servetest.Said) (events []string) {
	t.Helper()
	for _, m := range s.Messages {
		switch m := m.(type) {
		case *auditv1.SearchEventsResponse:
			for _, e := range m.GetEvents() {
				events = append(events, string(e))
			}
		case *auditv1.GetOperationResponse:
			for _, moment := range m.GetMoments() {
				events = append(events, string(moment.GetEvent()))
			}
		case *auditv1.TailResponse:
			if m.GetEvent() != nil {
				events = append(events, string(m.GetEvent()))
			}
		default:
			t.Fatalf("%s: %T has no events", name, m)
		}
	}
	return events
}

// numeral is a number as JSON has it, whatever it was.
func numeral(n any) json.Number { return json.Number(fmt.Sprint(n)) }

func decoded(t *testing.T, b []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

// A member is one of a row, which has an order.
type member struct {
	Name  string
	value any
}

// Equal is for [cmp.Diff].
func (m member) Equal(o member) bool { return m.Name == o.Name && cmp.Equal(m.value, o.value) }

// inOrder reads a list of objects, whose members have an order.
func inOrder(t *testing.T, list []byte) (rows [][]member) {
	t.Helper()
	var objects []json.RawMessage
	if err := json.Unmarshal(list, &objects); err != nil {
		t.Fatalf("%q: %v", list, err)
	}
	for _, o := range objects {
		rows = append(rows, membersOf(t, o))
	}
	return rows
}

func membersOf(t *testing.T, object []byte) (members []member) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		t.Fatalf("%q: %v", object, err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		members = append(members, member{name.(string), value})
	}
	return members
}

func queried(t *testing.T, all []proto.Message) (rows [][]member) {
	t.Helper()
	for _, m := range all {
		for _, row := range m.(*auditv1.QueryResponse).GetRows() {
			rows = append(rows, membersOf(t, row))
		}
	}
	return rows
}

// statsOf is what `docket stats -o json` prints of an answer.
func statsOf(s *auditv1.StatsResponse) any {
	facets, histogram := []any{}, []any{}
	for _, f := range s.GetFacets() {
		values := []any{}
		for _, v := range f.GetValues() {
			values = append(values, map[string]any{"value": v.GetValue(), "events": numeral(v.GetEvents())})
		}
		facets = append(facets, map[string]any{"name": f.GetName(), "values": values, "others": numeral(f.GetOthers())})
	}
	for _, b := range s.GetHistogram() {
		histogram = append(histogram, map[string]any{"start": b.GetStart().AsTime().Format(time.RFC3339Nano), "events": numeral(b.GetEvents()), "denied": numeral(b.GetDenied())})
	}
	return map[string]any{"events": numeral(s.GetEvents()), "facets": facets, "histogram": histogram, "interval": s.GetInterval().AsDuration().String()}
}

func (h *house) as(t *testing.T, token string) context.Context { return bearing(t.Context(), token) }
