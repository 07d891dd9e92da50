// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// A DB answers queries over one scope. It may be used concurrently.
type DB struct {
	db duckdb.Database
}

// Open makes a database over scope, with the settings that make it safe already
// locked. It sees the scope's files as they are named; the caller keeps them in
// place until Close.
func Open(ctx context.Context, scope Scope) (*DB, error) {
	scope = scope.withDefaults()
	m := made{scope: scope}
	var err error
	if m.paths, err = scope.paths(scope.Files); err != nil {
		return nil, err
	}
	if m.shared, err = scope.paths(scope.Shared); err != nil {
		return nil, err
	}
	if len(scope.Shared) > 0 && len(scope.Tenants) == 0 {
		return nil, fmt.Errorf("open SQL over %s: shared files, and no tenants", scope.Dir)
	}
	if m.conditions, m.filter, err = scope.conditions(); err != nil {
		return nil, err
	}
	d := new(DB)
	if duckdb.Open("", &d.db) == duckdb.StateError {
		return nil, errors.New("open DuckDB")
	}
	if err := d.setUp(ctx, m); err != nil {
		duckdb.Close(&d.db)
		return nil, fmt.Errorf("open SQL over %s: %w", scope.Dir, errors.Join(ctx.Err(), err))
	}
	return d, nil
}

// made is what a database is made of.
type made struct {
	scope         Scope
	paths, shared []string
	conditions    []string
	filter        string
}

// setUp locks the engine down, and then makes the views, so that these too are
// made by one that can read nothing but the files. What is copied from files
// that it shall not read is copied before.
func (d *DB) setUp(ctx context.Context, m made) error {
	scope := m.scope
	statements := []string{
		"SET memory_limit = " + literal(strconv.FormatInt(scope.MemoryLimit, 10)+"B"),
		"SET threads = " + strconv.Itoa(scope.Threads),
		"SET temp_directory = " + literal(scope.TempDir),
		"SET TimeZone = 'UTC'", // answers must not depend on where the server stands
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET allow_unsigned_extensions = false",
		"SET allow_persistent_secrets = false",
	}
	if copied := sharedStatements(m.shared, scope.ofTenants()); len(copied) > 0 {
		// Nothing of a file may stay behind where a query could come upon it.
		statements = append(append(statements, "SET enable_external_file_cache = false"), copied...)
	}
	statements = append(statements, "SET allowed_paths = "+listLiteral(m.paths), "SET enable_external_access = false")
	statements = append(statements, viewStatements(m.paths, len(m.shared) > 0, m.conditions, m.filter, scope.Asked)...)
	statements = append(statements, "SET lock_configuration = true")
	c, err := connect(d.db)
	if err != nil {
		return err
	}
	defer c.close()
	defer c.watch(ctx)()
	return c.exec(statements)
}

// Query runs one SELECT. It fails with a [StatementError] on anything else,
// before any of it runs, and with a [QueryError] when the engine refuses it or
// fails. The rows MUST be closed; they end with ctx.
func (d *DB) Query(ctx context.Context, text string) (*Rows, error) {
	return d.query(ctx, Statement{Text: text})
}

func (d *DB) query(ctx context.Context, s Statement) (*Rows, error) {
	c, release, err := d.enter(ctx, s.Text)
	if err != nil {
		return nil, err
	}
	rows, err := c.query(ctx, s)
	if err != nil {
		release()
		c.close()
		return nil, err
	}
	rows.release = release
	return rows, nil
}

// enter returns a connection for one query, which is interrupted when ctx ends,
// until release is called.
func (d *DB) enter(ctx context.Context, text string) (c *conn, release func(), err error) {
	if err := checkLength(text); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, &QueryError{err}
	}
	if c, err = connect(d.db); err != nil {
		return nil, nil, &QueryError{err}
	}
	return c, c.watch(ctx), nil
}

func (c *conn) query(ctx context.Context, s Statement) (*Rows, error) {
	if err := c.check(ctx, s.Text); err != nil {
		return nil, err
	}
	res, err := c.startWith(s.Text, func(stmt duckdb.PreparedStatement) error { return bind(stmt, s.Parameters) })
	if err != nil {
		return nil, failed(ctx, err)
	}
	return newRows(ctx, c, res), nil
}

// failed is an error of the engine as one of a query, unless it is that already.
func failed(ctx context.Context, err error) error {
	var refused *StatementError
	if errors.As(err, &refused) {
		return err
	}
	return &QueryError{errors.Join(ctx.Err(), err)}
}

// check decides whether a text may be prepared. The parser is the one that will
// read it, in an engine that can do nothing; the text is data to it.
func (c *conn) check(ctx context.Context, text string) error {
	res, err := c.start("SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR)) AS VARCHAR)", text)
	if err != nil {
		return failed(ctx, err)
	}
	parsed := newRows(ctx, c, res)
	found := parsed.Next()
	err = parsed.Err()
	var answer string
	if found {
		answer, _ = parsed.values[0].(string)
	}
	parsed.destroy()
	if err != nil {
		return err
	}
	return judge(text, []byte(answer))
}

// Close ends the engine. No answer may be in use.
func (d *DB) Close() error {
	duckdb.Close(&d.db)
	return nil
}

// Rows is an answer. It is used by one goroutine.
type Rows struct {
	ctx     context.Context //nolint:containedctx // rows live as long as one query
	conn    *conn
	release func()
	res     *duckdb.Result // nil once destroyed

	columns  []Column
	decoders []*decoder
	values   []any

	chunk     duckdb.DataChunk
	row, rows uint64 // of the chunk: the next one, and how many
	done      bool
	err       error
}

func newRows(ctx context.Context, c *conn, res *duckdb.Result) *Rows {
	n := int(duckdb.ColumnCount(res))
	r := &Rows{ctx: ctx, conn: c, res: res, columns: make([]Column, n), decoders: make([]*decoder, n), values: make([]any, n)}
	names := make([]string, n)
	for i := range n {
		names[i] = duckdb.ColumnName(res, duckdb.IdxT(i))
	}
	for i, name := range Distinct(names) {
		t := duckdb.ColumnLogicalType(res, duckdb.IdxT(i))
		r.decoders[i] = newDecoder(t)
		r.columns[i] = Column{name, typeName(t)}
		duckdb.DestroyLogicalType(&t)
	}
	return r
}

// Columns returns the columns of the answer.
func (r *Rows) Columns() []Column { return r.columns }

// Next goes to the next row; it returns false at the end and on an error.
func (r *Rows) Next() bool {
	for r.row == r.rows {
		if !r.fetch() {
			return false
		}
	}
	for i, d := range r.decoders {
		r.values[i] = d.value(r.row)
	}
	r.row++
	return true
}

// fetch gets the next chunk, which the engine may have yet to make.
func (r *Rows) fetch() bool {
	duckdb.DestroyDataChunk(&r.chunk)
	r.row, r.rows = 0, 0
	if r.done || r.res == nil {
		return false
	}
	if err := r.ctx.Err(); err != nil {
		r.done, r.err = true, err
		return false
	}
	r.chunk = duckdb.FetchChunk(*r.res)
	if r.chunk.Ptr == nil {
		r.done = true
		if text := duckdb.ResultError(r.res); text != "" {
			r.err = errors.Join(r.ctx.Err(), errors.New(text))
		}
		return false
	}
	r.rows = uint64(duckdb.DataChunkGetSize(r.chunk))
	for i, d := range r.decoders {
		d.bind(duckdb.DataChunkGetVector(r.chunk, duckdb.IdxT(i)))
	}
	return true
}

// Values returns the current row, valid until the next call of Next. A value is
// nil, bool, int64, uint64, float64, string, []byte, *big.Int, a [Number], a
// [JSON], or a []any or map[string]any of these. Times are strings.
func (r *Rows) Values() []any { return r.values }

// Err returns why Next ended early.
func (r *Rows) Err() error {
	if r.err != nil {
		return &QueryError{r.err}
	}
	return nil
}

func (r *Rows) destroy() {
	duckdb.DestroyDataChunk(&r.chunk)
	r.row, r.rows = 0, 0
	duckdb.DestroyResult(r.res)
	r.res = nil
}

// Close ends the query, also before its end. It may be called again.
func (r *Rows) Close() error {
	if r.res == nil {
		return nil
	}
	r.release()
	r.destroy()
	r.conn.close()
	return nil
}
