// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	rowsof "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/sql"
)

// A Store is what is asked; [*clickhouse.Store] is one.
type Store interface {
	Snapshot(ctx context.Context) (clickhouse.Snapshot, error)
	Tenants() []string
	Select(ctx context.Context, settings map[string]any, sql string, read func(rowsof.Rows) error) error
}

// An Engine answers queries. It may be used concurrently.
type Engine struct {
	store  Store
	limits sql.Limits

	places  chan struct{} // holds one for each query that runs or waits
	running chan struct{} // holds one for each that runs

	sharing sync.Mutex
	shares  map[string]int // queries that run or wait, by what they see; guarded by sharing
}

// New returns an engine over a store. What is zero in limits has the default of
// [sql.Processes].
func New(s Store, limits sql.Limits) *Engine {
	l := limits.WithDefaults()
	return &Engine{store: s, limits: l, places: make(chan struct{}, l.Running+l.Waiting), running: make(chan struct{}, l.Running)}
}

// settings are those of each query. How NULL, names and UNION are read is as the
// standard of SQL has it, and the lake.
func (e *Engine) settings() map[string]any {
	all := map[string]any{
		"readonly": 1, "enable_analyzer": 1, "max_memory_usage": e.limits.Memory, "max_query_size": 8 << 20, "max_result_rows": 0,
		"join_use_nulls": 1, "aggregate_functions_null_for_empty": 1, "union_default_mode": "DISTINCT", "prefer_column_name_to_alias": 1,
		"cast_keep_nullable": 1, "session_timezone": "UTC", "cancel_http_readonly_queries_on_client_close": 1,
		"enable_global_with_statement": 1, "max_ast_elements": 50_000, "max_subquery_depth": 100, "log_comment": "docket",
	}
	if e.limits.Total > 0 {
		all["max_execution_time"] = int((e.limits.Total + time.Second - 1) / time.Second)
		all["timeout_overflow_mode"] = "throw"
	}
	return all
}

// An asked query is one that may run.
type asked struct {
	text string
}

// prepare makes of a query of a caller what is asked of the server, or refuses it.
func (e *Engine) prepare(ctx context.Context, s Scope, query string, bound []sql.Parameter) (asked, error) {
	all, err := prepare(query)
	if err != nil {
		return asked{}, err
	}
	if all, err = bind(all, bound); err != nil {
		return asked{}, err
	}
	if text, ok, err := about(all); ok || err != nil {
		return asked{text}, err
	}
	ast, err := e.lines(ctx, "EXPLAIN AST "+join(all))
	if err != nil {
		return asked{}, err
	}
	if err := judge(ast, namesOf(all)); err != nil {
		return asked{}, err
	}
	if err := e.unlike(ctx, maybeTables(ast)); err != nil {
		return asked{}, err
	}
	snap, err := e.store.Snapshot(ctx)
	if err != nil {
		return asked{}, unanswered(ctx, err)
	}
	if s.At > snap.Number {
		return asked{}, &NoCommitError{s.At, snap.Number}
	}
	prefix, err := with(s, snap, spoken(all))
	if err != nil {
		return asked{}, err
	}
	text := behind(prefix, all)
	tree, err := e.lines(ctx, "EXPLAIN QUERY TREE "+text)
	if err != nil {
		return asked{}, err
	}
	return asked{text}, resolved(tree, strings.ReplaceAll(snap.Table, "`", ""))
}

// unlike refuses names of a query that tables of the server have, too. The server
// resolves names in EXPLAIN QUERY TREE, and what it resolves a scalar subquery to it also
// runs there: its error would tell of a table before [resolved] could refuse it.
func (e *Engine) unlike(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var bare, full []string
	for _, n := range names {
		bare = append(bare, filter.ClickHouse.Text(n))
		if strings.Contains(n, ".") {
			full = append(full, filter.ClickHouse.Text(n))
		}
	}
	list := "database = currentDatabase() AND name IN (" + strings.Join(bare, ", ") + ")"
	if len(full) > 0 {
		list += " OR concat(database, '.', name) IN (" + strings.Join(full, ", ") + ")"
	}
	found, err := e.lines(ctx, "SELECT DISTINCT name FROM system.tables WHERE "+list+" ORDER BY name")
	if err != nil || len(found) == 0 {
		return err
	}
	return sql.Refuse("call it otherwise: the database has a table of that name", "the name %.80q", found[0])
}

// A NoCommitError says that a query is about a commit that there is not yet.
type NoCommitError struct{ At, Newest uint64 }

func (e *NoCommitError) Error() string {
	return fmt.Sprintf("there is no commit %d yet, the newest is %d", e.At, e.Newest)
}

// lines returns the lines of an EXPLAIN.
func (e *Engine) lines(ctx context.Context, text string) (lines []string, err error) {
	err = e.store.Select(ctx, e.settings(), text, func(rows rowsof.Rows) error {
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			lines = append(lines, strings.Split(line, "\n")...)
		}
		return rows.Err()
	})
	return lines, e.failed(ctx, err)
}

// ask has the server answer a query over a scope. First is called with the columns,
// and then each for each row, with values as Go has them.
func (e *Engine) ask(ctx context.Context, s Scope, st sql.Statement, first func([]string, []typ) error, each func([]any) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer after(e.limits.Total, cancel)()
	leave, err := e.enter(ctx, s)
	if err != nil {
		return err
	}
	defer leave()
	q, err := e.prepare(ctx, s, st.Text, st.Parameters)
	if err != nil {
		return err
	}
	begun := false
	if err := e.run(ctx, cancel, q, func(names []string, types []typ) error {
		begun = len(names) > 0
		if !begun {
			return nil // over HTTP an answer without rows has no columns either
		}
		return first(names, types)
	}, each); err != nil || begun {
		return err
	}
	names, types, err := e.columns(ctx, q)
	if err != nil {
		return err
	}
	return first(names, types)
}

// columns asks for the columns of an answer.
func (e *Engine) columns(ctx context.Context, q asked) (names []string, types []typ, err error) {
	err = e.store.Select(ctx, e.settings(), "DESCRIBE ("+q.text+")", func(rows rowsof.Rows) error {
		for rows.Next() {
			var n, t string
			to := make([]any, len(rows.Columns()))
			for i := range to {
				to[i] = new(string)
			}
			to[0], to[1] = &n, &t
			if err := rows.Scan(to...); err != nil {
				return err
			}
			names, types = append(names, n), append(types, parseType(t))
		}
		return rows.Err()
	})
	return sql.Distinct(names), types, e.failed(ctx, err)
}

func (e *Engine) run(ctx context.Context, cancel context.CancelCauseFunc, q asked, first func([]string, []typ) error, each func([]any) error) error {
	var own error // of who takes the answer
	stalled := e.stall(cancel)
	defer stalled.Stop()
	err := e.store.Select(ctx, e.settings(), q.text, func(rows rowsof.Rows) error {
		types := rows.ColumnTypes()
		stalled.Stop()
		if own = first(describe(types)); own != nil {
			return own
		}
		to := targets(types)
		for {
			stalled.Reset()
			if !rows.Next() {
				break
			}
			stalled.Stop()
			if err := rows.Scan(to...); err != nil {
				return err
			}
			if own = each(to); own != nil {
				cancel(own)
				return own
			}
		}
		return rows.Err()
	})
	if own != nil {
		return own
	}
	return e.failed(ctx, err)
}

// A stall ends a query of which no part of the answer comes for too long.
type stall struct {
	timer *time.Timer
	limit time.Duration
}

func (e *Engine) stall(cancel context.CancelCauseFunc) stall {
	if e.limits.Stall <= 0 {
		return stall{}
	}
	d := e.limits.Stall
	return stall{time.AfterFunc(d, func() { cancel(&sql.TimeoutError{Limit: d}) }), d}
}

func (s stall) Stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s stall) Reset() {
	if s.timer != nil {
		s.timer.Reset(s.limit)
	}
}

func after(d time.Duration, cancel context.CancelCauseFunc) (stop func()) {
	if d <= 0 {
		return func() {}
	}
	t := time.AfterFunc(d, func() { cancel(&sql.TimeoutError{Limit: d}) })
	return func() { t.Stop() }
}

// enter waits for a place among those that run. Of who sees the same, but for who sees
// all, one place is left to others: what one asks must not keep all waiting.
func (e *Engine) enter(ctx context.Context, s Scope) (leave func(), err error) {
	yield, err := e.share(s)
	if err != nil {
		return nil, err
	}
	select {
	case e.places <- struct{}{}:
	default:
		yield()
		return nil, new(sql.BusyError)
	}
	var long <-chan time.Time
	if e.limits.Stall > 0 {
		timer := time.NewTimer(e.limits.Stall)
		defer timer.Stop()
		long = timer.C
	}
	select {
	case e.running <- struct{}{}:
		return func() { <-e.running; <-e.places; yield() }, nil
	case <-long:
		err = new(sql.BusyError)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	<-e.places
	yield()
	return nil, err
}

func (e *Engine) share(s Scope) (yield func(), err error) {
	if s.View.All() {
		return func() {}, nil
	}
	var seen []string
	for _, t := range e.store.Tenants() {
		if s.View.Sees(t) {
			seen = append(seen, t)
		}
	}
	key := strings.Join(seen, "\x00")
	e.sharing.Lock()
	defer e.sharing.Unlock()
	if e.shares[key] >= max(1, e.limits.Running-1) {
		return nil, new(sql.BusyError)
	}
	if e.shares == nil {
		e.shares = make(map[string]int)
	}
	e.shares[key]++
	return func() {
		e.sharing.Lock()
		defer e.sharing.Unlock()
		if e.shares[key]--; e.shares[key] == 0 {
			delete(e.shares, key)
		}
	}, nil
}

// maxRows bounds what waits to be handed on, and maxNames the names of columns, in
// bytes.
const (
	maxRows  = 256 << 10
	maxNames = 32 << 10
)

// Rows runs one SELECT. It calls columns once and then writes the rows to rows, one
// JSON object in each line. The answer is whole if, and only if, the error is nil;
// the errors are those of [sql.Processes.Query], a [NoCommitError] and those of the
// store.
func (e *Engine) Rows(ctx context.Context, s Scope, query string, columns func([]string) error, rows io.Writer) error {
	var (
		names   []string
		members [][]byte
		types   []typ
		b       []byte
		begun   bool
	)
	flush := func() error {
		if !begun {
			begun = true
			if err := columns(names); err != nil {
				return err
			}
		}
		if len(b) == 0 {
			return nil
		}
		_, err := rows.Write(b)
		b = b[:0]
		return err
	}
	err := e.ask(ctx, s, sql.Statement{Text: query}, func(n []string, t []typ) (err error) {
		names, types = n, t
		members, err = encodeNames(names)
		return err
	}, func(values []any) (err error) {
		for i, v := range values {
			b = append(append(b, "{,"[min(i, 1)]), members[i]...)
			if b, err = sql.AppendJSON(b, types[i].plain(v)); err != nil {
				return err
			}
		}
		b = append(b, "}\n"...)
		if len(b) < maxRows {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// encodeNames returns each name as what stands before its value in a row.
func encodeNames(names []string) (members [][]byte, err error) {
	size := 0
	for _, n := range names {
		member, err := sql.AppendJSON(nil, n)
		if err != nil {
			return nil, err
		}
		size += len(member) + 1
		members = append(members, append(member, ':'))
	}
	if size > maxNames {
		return nil, sql.Refuse(fmt.Sprintf("select fewer columns, or give them shorter names with AS; %d bytes is the most", maxNames),
			"%d columns whose names take %d bytes", len(names), size)
	}
	return members, nil
}

// about answers what is asked about the views themselves: SHOW TABLES and DESCRIBE.
func about(all []token) (answer string, ok bool, err error) {
	list := func(of []string) string { return "[" + strings.Join(of, ", ") + "]" }
	switch {
	case all[0].is("SHOW"):
		if len(all) != 2 || !all[1].is("TABLES") {
			return "", false, sql.Refuse("SHOW TABLES lists the views, DESCRIBE the columns of one", "SHOW of something else")
		}
		var names []string
		for _, n := range slices.Sorted(keys(boolOf(views()))) {
			names = append(names, filter.ClickHouse.Text(n))
		}
		return "SELECT arrayJoin(" + list(names) + ") AS name", true, nil
	case all[0].is("DESCRIBE"), all[0].is("DESC"):
		view := ""
		if len(all) == 2 && all[1].kind != text {
			view = strings.Trim(all[1].text, "`\"")
		}
		if !isView(view) {
			return "", false, sql.Refuse("SHOW TABLES lists the views, DESCRIBE the columns of one", "DESCRIBE of something else")
		}
		var rows []string
		for _, c := range columnsOf(view) {
			rows = append(rows, "("+filter.ClickHouse.Text(c.name)+", "+filter.ClickHouse.Text(c.typ)+")")
		}
		return "SELECT c.1 AS column_name, c.2 AS column_type FROM (SELECT arrayJoin(" + list(rows) + ") AS c)", true, nil
	}
	return "", false, nil
}

func boolOf[V any](m map[string]V) map[string]bool {
	out := make(map[string]bool, len(m))
	for k := range m {
		out[k] = true
	}
	return out
}

// columnsOf returns the columns of a view.
func columnsOf(view string) []column {
	switch view {
	case "operations", "evaluations":
	default:
		return columns()
	}
	types := map[string]string{}
	for _, c := range columns() {
		types[c.name] = c.typ
	}
	body, _, _ := strings.Cut(strings.TrimPrefix(views()[view], "SELECT "), " FROM ")
	var out []column
	for item := range strings.SplitSeq(body, ",") {
		of, as, renamed := strings.Cut(strings.TrimSpace(item), " AS ")
		_, bare, qualified := strings.Cut(of, ".")
		if !qualified {
			bare = of
		}
		if !renamed {
			as = of
		}
		t := types[bare]
		if strings.HasPrefix(of, "a.") {
			t = "Nullable(" + t + ")"
		}
		out = append(out, column{name: as, typ: t})
	}
	return out
}
