// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// An engine answers SQL over the events of [world]: the names of the columns, and
// the rows as text.
type engine func(t *testing.T, sql string) (columns []string, rows [][]string)

// A statement is what one panel or variable asks.
type statement struct{ where, title, sql string }

func statements(t *testing.T) (all []statement) {
	t.Helper()
	for name, d := range committed(t) {
		for _, v := range d.Templating.List {
			if v.Datasource != nil && v.Datasource.Type == clickhouse.Type {
				all = append(all, statement{name, "variable " + v.Name, v.Query})
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				if target.RawSQL != "" {
					all = append(all, statement{name, p.Title, target.RawSQL})
				}
			}
		}
	}
	return all
}

// chosen is what a reader chose: a time, in ms, and tenants, nil for all of them.
type chosen struct {
	from, to int64
	tenants  []string
}

// expand makes of what a dashboard has what an engine is sent. The plugin of
// ClickHouse does $__conditionalAll first: of a variable that is "All" the condition
// is 1=1. Then Grafana fills its variables in. What else begins with a $ is refused.
func (c chosen) expand(sql string) (string, error) {
	const macro = "$__conditionalAll("
	for {
		i := strings.LastIndex(sql, macro)
		if i < 0 {
			break
		}
		args, rest, ok := arguments(sql[i+len(macro):])
		if !ok || len(args) != 2 || strings.TrimSpace(args[1]) != "$tenant" {
			return "", fmt.Errorf("%s wants a condition and a variable: %s", macro, sql[i:])
		}
		condition := args[0]
		if c.tenants == nil {
			condition = "1=1"
		}
		sql = sql[:i] + condition + rest
	}
	quoted := make([]string, len(c.tenants))
	for i, tenant := range c.tenants {
		quoted[i] = "'" + strings.ReplaceAll(tenant, "'", `\'`) + "'"
	}
	sql = strings.NewReplacer(
		"${__from}", strconv.FormatInt(c.from, 10), "${__to}", strconv.FormatInt(c.to, 10),
		"${tenant:singlequote}", strings.Join(quoted, ","),
	).Replace(sql)
	if strings.Contains(sql, "$") {
		return "", fmt.Errorf("nobody fills this in: %s", sql)
	}
	return sql, nil
}

// arguments splits what follows an opening parenthesis at the commas of that level.
func arguments(s string) (args []string, rest string, ok bool) {
	depth, begin := 0, 0
	for i, r := range s {
		switch {
		case r == '(':
			depth++
		case r == ')' && depth == 0:
			return append(args, s[begin:i]), s[i+1:], true
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			args, begin = append(args, s[begin:i]), i+1
		}
	}
	return nil, "", false
}

func TestExpand(t *testing.T) {
	all, some := chosen{from: 7, to: 9}, chosen{from: 7, to: 9, tenants: []string{"acme", "o'hara"}}
	const sql = "SELECT f(a, b) FROM events WHERE time >= ${__from} AND time <= ${__to} AND $__conditionalAll(tenant IN (${tenant:singlequote}), $tenant) LIMIT 1"
	for want, c := range map[string]chosen{
		"SELECT f(a, b) FROM events WHERE time >= 7 AND time <= 9 AND 1=1 LIMIT 1":                          all,
		`SELECT f(a, b) FROM events WHERE time >= 7 AND time <= 9 AND tenant IN ('acme','o\'hara') LIMIT 1`: some,
	} {
		if got, err := c.expand(sql); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for _, bad := range []string{"SELECT $__timeFilter(time)", "SELECT 1 WHERE $__conditionalAll(a)", "SELECT $other"} {
		if got, err := all.expand(bad); err == nil {
			t.Errorf("%s becomes %s", bad, got)
		}
	}
}

// A scribe makes the events of an epoch.
type scribe struct {
	*storetest.Epoch
	entries *[]store.Entry
}

// a deed is what an event about an operation says.
type deed struct {
	kind, operation, evaluation string
	who, method, source         string
	decision                    ocsf.ActionID
	status, reason              string
	interceptor, binding, grade string
	failureKind, failurePolicy  string
	failed                      bool
	message                     string
	service                     string
}

func (s scribe) write(d deed) {
	e := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate, SrcEndpoint: &ocsf.NetworkEndpoint{IP: d.source}, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActionID: d.decision, StatusCode: d.status, StatusDetail: d.reason, Message: d.message,
			Metadata: ocsf.Metadata{EventCode: d.kind, CorrelationUID: d.operation, Profiles: []string{"security_control"}},
			Actor:    &ocsf.Actor{User: &ocsf.User{UID: d.who}},
			API:      &ocsf.API{Operation: d.method, Service: &ocsf.Service{Name: d.service}},
		},
	}
	if d.failed {
		e.StatusID = ocsf.StatusFailure
	}
	if d.interceptor != "" {
		e.Policy = &ocsf.Policy{Name: d.interceptor, UID: d.binding}
	}
	if d.evaluation != "" {
		e.API.Request = &ocsf.Request{UID: d.evaluation}
	}
	if d.grade != "" {
		e.Metadata.Tags = []ocsf.KeyValueObject{{Name: profile.TagReplayGrade, Value: d.grade}}
	}
	if d.failureKind != "" {
		e.Unmapped = map[string]any{profile.Unmapped: map[string]any{"failure_kind": d.failureKind, "failure_policy": d.failurePolicy}}
	}
	*s.entries = append(*s.entries, s.Seal(e))
}

// outcome ends an operation.
func (s scribe) outcome(operation, who, method string, decision ocsf.ActionID, reason string) {
	d := deed{kind: profile.KindOutcome, operation: operation, who: who, method: method, service: "demo.Sandboxes", source: "192.0.2.7", decision: decision, reason: reason}
	if decision == ocsf.ActionDenied {
		d.interceptor, d.binding = "images", "allow-list"
	}
	s.write(d)
}

// judged is an evaluation and what answered it.
func (s scribe) judged(operation, who, method, grade string, answer deed) {
	d := deed{
		kind: profile.KindEvaluation, operation: operation, evaluation: storetest.NewUID(), who: who, method: method, service: "demo.Sandboxes",
		source: "192.0.2.7", interceptor: "images", binding: "allow-list", grade: grade,
	}
	s.write(d)
	answer.operation, answer.evaluation, answer.who, answer.method, answer.service, answer.source = d.operation, d.evaluation, d.who, d.method, d.service, d.source
	answer.interceptor, answer.binding = d.interceptor, d.binding
	s.write(answer)
}

// shown is the time that the dashboards show of the world.
var shown = chosen{from: storetest.Start, to: storetest.Start + 3_600_000}

// world is what the store has: two tenants and Docket itself, and what happened
// before the time that is shown.
func world(t *testing.T) (entries []store.Entry) {
	t.Helper()
	epoch := func(tenant, emitter string, at int64) scribe {
		e := storetest.NewEpoch(t, tenant, emitter)
		e.Time = at
		return scribe{e, &entries}
	}
	before := epoch("acme", "gateway-old", storetest.Start-7_200_000)
	before.outcome("op-0", "mallory", "Create", ocsf.ActionDenied, "not on the list")

	acme := epoch("acme", "gateway-0", storetest.Start)
	entries = append(entries, acme.Start())
	acme.judged("op-1", "alice", "Create", "full", deed{kind: profile.KindResult, decision: ocsf.ActionAllowed})
	acme.outcome("op-1", "alice", "Create", ocsf.ActionAllowed, "")
	acme.judged("op-2", "mallory", "Create", "full", deed{kind: profile.KindResult, decision: ocsf.ActionDenied, reason: "not on the list"})
	acme.outcome("op-2", "mallory", "Create", ocsf.ActionDenied, "not on the list")
	acme.judged("op-3", "alice", "Create", "partial", deed{kind: profile.KindFailure, decision: ocsf.ActionAllowed, reason: "no answer in 500ms", failureKind: "timeout", failurePolicy: "fail_open"})
	acme.outcome("op-3", "alice", "Create", ocsf.ActionAllowed, "")
	acme.judged("op-4", "mallory", "Delete", "full", deed{kind: profile.KindFailure, decision: ocsf.ActionDenied, reason: "no answer in 500ms", failureKind: "timeout", failurePolicy: "fail_closed"})
	acme.Skip(2)
	acme.outcome("op-4", "mallory", "Delete", ocsf.ActionDenied, "no answer in 500ms")

	globex := epoch("globex", "gateway-1", storetest.Start+1000)
	entries = append(entries, globex.Start())
	globex.outcome("op-5", "bob", "Create", ocsf.ActionDenied, "not on the list")

	own := epoch(profile.TenantDocket, "collector-0", storetest.Start+2000)
	access := deed{kind: profile.KindAccess, who: "carol", service: "docket.audit.v1.AuditService", source: "192.0.2.9", decision: ocsf.ActionAllowed, status: "OK"}
	access.method = "StartReplay"
	own.write(access)
	access.method = "SearchEvents"
	own.write(access)
	access.failed, access.status = true, "INVALID_ARGUMENT"
	own.write(access)
	entries = append(entries, own.Seal(&ocsf.DetectionFinding{
		ActivityID:  ocsf.DetectionFindingCreate,
		Base:        ocsf.Base{Message: "sequence 7 has two events", SeverityID: ocsf.SeverityCritical, Metadata: ocsf.Metadata{EventCode: profile.KindFinding}},
		FindingInfo: &ocsf.FindingInfo{UID: "conflict:7"},
	}))
	return entries
}

// worldBatch is the world as a store takes it.
func worldBatch(t *testing.T) store.Batch {
	t.Helper()
	entries := world(t)
	for i := range entries {
		entries[i].StreamSeq = uint64(i + 1)
	}
	return store.Batch{Entries: entries, StreamSeq: uint64(len(entries))}
}

// An answer is what a panel shows of the world: of some columns, all rows.
type answer struct {
	columns string
	rows    []string
}

// answers has what every panel shows when all is chosen.
var answers = map[string]answer{
	"variable tenant":           {"tenant", []string{"acme", "docket", "globex"}},
	"Who is denied most":        {"principal tenant denials methods", []string{"mallory acme 2 2", "bob globex 1 1"}},
	"What passed unjudged":      {"tenant principal method interceptor binding failure_kind operation_uid", []string{"acme alice Create images allow-list timeout op-3"}},
	"Why operations are denied": {"interceptor binding denials", []string{"images allow-list 2", "images allow-list 1"}},
	"Who is new":                {"principal tenant operations", []string{"bob globex 1", "alice acme 2"}},
	"Epochs and what they lack": {"tenant emitter stored last_sequence lacking", []string{"acme gateway-0 13 15 2", "docket collector-0 4 4 0", "globex gateway-1 2 2 0"}},
	"Starts, stops and changes": {"tenant emitter", []string{"globex gateway-1", "acme gateway-0"}},
	"Tenants":                   {"tenant events", []string{"acme 13", "docket 4", "globex 2"}},
	"Findings":                  {"tenant severity_id message", []string{"docket 5 sequence 7 has two events"}},
	"Who read the record":       {"principal method requests failed", []string{"carol SearchEvents 2 1", "carol StartReplay 1 0"}},
	"What is stored": {"kind class_uid events", []string{
		"outcome 6003 5", "evaluation 6003 4", "access 6003 3", "failure 6003 2", "lifecycle 6002 2", "result 6003 2", "finding 2004 1",
	}},
	"Who replayed":         {"principal source status_code", []string{"carol 192.0.2.9 OK"}},
	"What can be replayed": {"interceptor binding replay_grade evaluations", []string{"images allow-list full 3", "images allow-list partial 1"}},
}

// everyPanel asks an engine what every panel asks. Each answers, with rows, and with
// what is known of the world; and again with one tenant, with the rows of that one.
func everyPanel(t *testing.T, ask engine) {
	t.Helper()
	all := statements(t)
	seen := map[string]bool{}
	for _, s := range all {
		seen[s.title] = true
		t.Run(s.where+"/"+s.title, func(t *testing.T) {
			want, known := answers[s.title]
			if !known {
				t.Fatalf("nobody says what it shows")
			}
			query := func(c chosen) (columns []string, rows [][]string) {
				sql, err := c.expand(s.sql)
				if err != nil {
					t.Fatal(err)
				}
				return ask(t, sql)
			}
			columns, rows := query(shown)
			if diff := cmp.Diff(want.rows, project(t, columns, rows, want.columns)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for i, name := range columns {
				if !strings.HasSuffix(name, "_at") {
					continue
				}
				for _, row := range rows {
					if at, err := strconv.ParseInt(row[i], 10, 64); err != nil || at < shown.from || at > shown.to {
						t.Errorf("%s is %s: not a time that is shown, in ms (%v)", name, row[i], err)
					}
				}
			}
			one := shown
			one.tenants = []string{"globex"}
			columns, rows = query(one)
			if i := slices.Index(columns, "tenant"); i >= 0 && strings.Contains(s.sql, "$tenant") {
				for _, row := range rows {
					if row[i] != "globex" {
						t.Errorf("of globex alone: %v", row)
					}
				}
			}
			if _, rows = query(chosen{from: 1, to: 2}); len(rows) > 0 && strings.Contains(s.sql, "__from") {
				t.Errorf("of a time when nothing happened: %v", rows)
			}
		})
	}
	for title := range answers {
		if !seen[title] {
			t.Errorf("no panel is called %q", title)
		}
	}
}

// project makes a line of text of each row's columns that are named.
func project(t *testing.T, columns []string, rows [][]string, names string) (lines []string) {
	t.Helper()
	for _, row := range rows {
		var line []string
		for name := range strings.FieldsSeq(names) {
			i := slices.Index(columns, name)
			if i < 0 {
				t.Fatalf("there is no column %s, but %v", name, columns)
			}
			line = append(line, row[i])
		}
		lines = append(lines, strings.Join(line, " "))
	}
	return lines
}

// Every table says how many rows at most, and in which order, so that it is the
// same for everybody.
func TestTablesAreBounded(t *testing.T) {
	all := statements(t)
	if len(all) < 12 {
		t.Fatalf("only %d statements found", len(all))
	}
	for _, s := range all {
		if !strings.Contains(s.sql, "ORDER BY ") || !strings.Contains(s.sql, "LIMIT ") && !strings.HasPrefix(s.title, "variable ") {
			t.Errorf("%s: %s: no order, or no bound: %s", s.where, s.title, s.sql)
		}
	}
}
