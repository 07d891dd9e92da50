// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A server is the database that a DSN names. It is safe for concurrent use.
type server struct {
	conn    driver.Conn
	addr    string // for people: hosts and database
	secrets []string
	cluster string
	sure    clickhouse.Settings // of every query; see [server.safe]
	page    int                 // how many statements are read at a time
	asks    bool                // for the types of columns before each insert, as the native protocol does; for tests
	memory  memory

	patience time.Duration // of look-ups; see [server.lookUp]
}

// patience is how long a server may say nothing when something is looked up, by an index
// or in a small table, which takes it milliseconds. One that is stopped takes connections
// all the same, and the driver would wait for five minutes.
const patience = 15 * time.Second

var _ tables = (*server)(nil)

// connect makes a server of a DSN. It does not ask it anything.
func connect(dsn, cluster string) (*server, error) {
	opts, err := parseDSN(dsn)
	if err != nil {
		return nil, &Error{Op: "open ClickHouse", Addr: "store", Err: err, hint: "a URL is such as clickhouse://user:password@host:9000/database or https://user:password@host:8443/database"}
	}
	if opts.Protocol == clickhouse.Native {
		opts.DialContext = dialing(opts)
	}
	opts.ClientInfo.Products = append(opts.ClientInfo.Products, struct{ Name, Version string }{"docket", ""})
	s := &server{
		addr: strings.Join(opts.Addr, ",") + "/" + opts.Auth.Database, secrets: secretsOf(opts), cluster: cluster, page: pageRows, patience: patience,
	}
	if s.conn, err = clickhouse.Open(opts); err != nil {
		return nil, s.failed("open ClickHouse", err)
	}
	return s, nil
}

// parseDSN reads a DSN. What is wrong with one is not told: the text of the error
// would have parts of it.
func parseDSN(dsn string) (*clickhouse.Options, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" {
		return nil, errors.New("what is configured is no URL of a ClickHouse")
	}
	switch u.Scheme {
	case "clickhouse", "tcp", "http":
	case "https":
		if q := u.Query(); !q.Has("secure") {
			q.Set("secure", "true")
			u.RawQuery = q.Encode()
		}
	default:
		return nil, fmt.Errorf("what is configured is no URL of a ClickHouse: its scheme is %.20q, not clickhouse, http or https", u.Scheme)
	}
	opts, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		return nil, errors.New("what is configured is no URL of a ClickHouse: a parameter has no such value")
	}
	if opts.Auth.Database == "" {
		opts.Auth.Database = "default"
	}
	return opts, nil
}

func (s *server) close() error { return s.conn.Close() }

// settings returns ctx with settings of the queries under it.
func (s *server) settings(ctx context.Context, more clickhouse.Settings) context.Context {
	all := maps.Clone(s.sure)
	if all == nil {
		all = clickhouse.Settings{}
	}
	if s.cluster != "" {
		// What one replica has taken, every other must show.
		all["select_sequential_consistency"] = 1
	}
	maps.Copy(all, more)
	return clickhouse.Context(ctx, clickhouse.WithSettings(all))
}

// inserting returns the settings of an insert with a token.
func (s *server) inserting(token string) clickhouse.Settings {
	all := clickhouse.Settings{
		"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": token,
		// A view whose table has a window of its own gets a block once, also when the
		// table that it looks at has it already.
		"deduplicate_blocks_in_dependent_materialized_views": 1,
	}
	if s.cluster != "" {
		all["insert_quorum"] = "auto"
		all["insert_quorum_parallel"] = 0
		all["distributed_foreground_insert"] = 1
	}
	return all
}

// exec runs what gives no rows.
func (s *server) exec(ctx context.Context, settings clickhouse.Settings, sql string) error {
	return s.conn.Exec(s.settings(ctx, settings), sql)
}

// longQuery is how long a query may be for a server to take it as it is. One that may
// only read must not be asked for more than it needs.
const longQuery = 200_000

// query calls each with the rows of a SELECT; scan reads the columns of one.
func (s *server) query(ctx context.Context, sql string, each func(scan func(to ...any) error) error) (err error) {
	var settings clickhouse.Settings
	if len(sql) > longQuery {
		settings = clickhouse.Settings{"max_query_size": 2 * len(sql)}
	}
	rows, err := s.conn.Query(s.settings(ctx, settings), sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// lookUp is query for what a server has at hand. It fails with [ErrSilent] where that
// says nothing for too long, be it before the first row or between two.
func (s *server) lookUp(ctx context.Context, sql string, each func(scan func(to ...any) error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(s.patience, func() { cancel(ErrSilent) })
	defer silence.Stop()
	err := s.query(ctx, sql, func(scan func(to ...any) error) error {
		silence.Reset(s.patience)
		return each(scan)
	})
	if err != nil && errors.Is(context.Cause(ctx), ErrSilent) {
		return fmt.Errorf("%w for %s", ErrSilent, s.patience) // whatever it has led to
	}
	return err
}

// A column is what an insert has of one.
type column struct {
	name, typ string
	values    any // a slice
}

// insert puts rows into a table, as one block.
func (s *server) insert(ctx context.Context, table, token string, columns []column) error {
	names := make([]string, len(columns))
	types := make([]clickhouse.ColumnNameAndType, len(columns))
	for i, c := range columns {
		names[i], types[i] = c.name, clickhouse.ColumnNameAndType{Name: c.name, Type: c.typ}
	}
	ctx = s.settings(ctx, s.inserting(token))
	if !s.asks {
		ctx = clickhouse.Context(ctx, clickhouse.WithColumnNamesAndTypes(types))
	}
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+table+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }() // was sent, or will not be
	for i, c := range columns {
		if err := fill(batch, i, c.values); err != nil {
			return errors.Join(fmt.Errorf("column %s: %w", c.name, err), batch.Abort())
		}
	}
	return batch.Send()
}

// fill puts the values of a column into a batch. Texts as bytes are most of an insert:
// the driver would copy each before it takes it, and all of them whenever it wants
// more room. So they are given one by one, after one that makes the room for all.
func fill(batch driver.Batch, i int, values any) error {
	texts, ok := values.([][]byte)
	if !ok {
		return batch.Column(i).Append(values)
	}
	n := 0
	for _, v := range texts {
		n += len(v)
	}
	column := batch.Columns()[i]
	if err := column.AppendRow(make([]byte, n)); err != nil {
		return err
	}
	column.Reset() // keeps the room
	for _, v := range texts {
		if err := column.AppendRow(v); err != nil {
			return err
		}
	}
	return nil
}

// text quotes a string for SQL. Everything but what is harmless everywhere is
// written in hex, so that neither the server nor the driver finds anything in it.
func text(v string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(v) {
		switch c := v[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '/', c == ' ':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// texts quotes a list.
func texts(list []string) string {
	quoted := make([]string, len(list))
	for i, v := range list {
		quoted[i] = text(v)
	}
	return strings.Join(quoted, ", ")
}

// committedRanges asks for the writers, the first number of each and the last, by writer. The
// views have the same.
const committedRanges = "SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),\n" +
	"\tmapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits"

// ranges begins a query that has a condition of [visible].
const ranges = "WITH (" + committedRanges + ") AS r "

// visible is the condition that a row, whose number and writer are in these columns,
// is of a commit. The views have the same.
func visible(number, writer string) string {
	return number + " BETWEEN transform(" + writer + ", r.1, r.2, 0) AND transform(" + writer + ", r.1, r.3, -1)"
}
