// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/docket-audit/docket/collector/filter"
)

// A Scope is what one database may see: exactly these files. Authorization
// makes a scope for each set of rights; a database is never shared between two.
type Scope struct {
	Dir   string   // the lake's directory
	Files []string // segments, relative to Dir, with slashes; there may be none

	// Tenants, if there are any, are those whose events are seen. Files must then
	// hold events of no others. Shared are segments that do: of them the rows of
	// Tenants are copied into memory before the first query, and the files are
	// closed to all queries.
	Tenants []string
	Shared  []string

	// Filter is a CEL expression over the columns of an event's header: the views
	// hold only events that it selects. It is for those who ask, not against them:
	// what keeps somebody out is Tenants.
	Filter string

	// AsOf is the number of a commit: the views hold the events of it and of those
	// before it; 0 is all.
	AsOf uint64

	// Asked is the query that will be asked, where it is known to be the only one:
	// views of classes that it does not speak of are not made. "" makes all.
	Asked string

	MemoryLimit int64  // bytes; 0 is 1 GiB
	Threads     int    // 0 is one per processor
	TempDir     string // where large sorts and joins may spill; "" is nowhere
}

const defaultMemoryLimit = 1 << 30

func (s Scope) withDefaults() Scope {
	if s.MemoryLimit <= 0 {
		s.MemoryLimit = defaultMemoryLimit
	}
	if s.Threads <= 0 {
		s.Threads = runtime.GOMAXPROCS(0)
	}
	return s
}

// paths returns the absolute paths of files.
func (s Scope) paths(files []string) ([]string, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("open SQL over %s: %w", s.Dir, err)
	}
	paths := make([]string, len(files))
	for i, f := range files {
		local := filepath.FromSlash(f)
		if !filepath.IsLocal(local) {
			return nil, fmt.Errorf("open SQL over %s: file %q lies outside", s.Dir, f)
		}
		paths[i] = filepath.Join(dir, local)
	}
	return paths, nil
}

const filterFailed = "filter: it has no value for an event, as a division by 0 has none"

// conditions returns what must be true of the events that may be seen, and the
// filter, which is "" when there is none.
func (s Scope) conditions() (all []string, where string, err error) {
	if len(s.Tenants) > 0 {
		all = append(all, s.ofTenants())
	}
	if s.AsOf != 0 {
		all = append(all, fmt.Sprintf("_commit <= %d", s.AsOf))
	}
	if s.Filter == "" {
		return all, "", nil
	}
	f, err := filter.Parse(s.Filter)
	if err != nil {
		return nil, "", err
	}
	sql, err := f.SQL(filter.DuckDB)
	if err != nil {
		return nil, "", err
	}
	where = sql.Text
	if sql.Partial { // and then fails here as it does in Go
		where = "CASE " + where + " WHEN true THEN true WHEN false THEN false ELSE CAST(error(" + literal(filterFailed) + ") AS BOOLEAN) END"
	}
	return all, "(" + where + ")", nil
}

func (s Scope) ofTenants() string {
	list := make([]string, len(s.Tenants))
	for i, t := range s.Tenants {
		list[i] = filter.DuckDB.Text(t)
	}
	return "tenant IN (" + strings.Join(list, ", ") + ")"
}

// ErrUnavailable says that this program was built without DuckDB.
var ErrUnavailable = errors.New("SQL is not part of the docket that answers")

// A Column is one column of an answer. No two of one answer have the same name:
// a repeated one gets _1, _2, ... behind it.
type Column struct {
	Name string
	Type string // DuckDB's, such as VARCHAR, BIGINT, STRUCT(a INTEGER)
}

// A StatementError says that a query was refused before anything of it ran.
type StatementError struct {
	Found string // what stands where one SELECT should
	hint  string
}

func (e *StatementError) Error() string { return "refuse SQL: " + e.Found }

// Refuse returns the error of an engine of another package that refuses a query: for
// what was found in it, with a hint.
func Refuse(hint, format string, args ...any) *StatementError {
	return &StatementError{Found: fmt.Sprintf(format, args...), hint: hint}
}

// Hint says what would be accepted.
func (e *StatementError) Hint() string { return e.hint }

// A QueryError says that a query failed. Its text is the engine's.
type QueryError struct {
	Err error
}

func (e *QueryError) Error() string { return "query: " + e.Err.Error() }
func (e *QueryError) Unwrap() error { return e.Err }

// unnamed is how the engines say that a query has a name, or a type, that is not that
// of a table or a column; DuckDB first, then ClickHouse.
var unnamed = []string{
	"Table with name", "Referenced column", "Referenced table", "does not have a column named", "No function matches the given name and argument types", "Cannot compare values of type",
	"Unknown expression", "Unknown table", "Unknown identifier", "Missing columns", "Illegal type", "There is no supertype for types",
}

// Hint says where the names of tables and columns can be found, if one is wrong, or
// what to do about files that cannot be read; "" where there is nothing to say.
func (e *QueryError) Hint() string {
	for _, damage := range []string{"ZSTD Decompression", "No magic bytes", "too small to be a Parquet", "Cannot access file", "Failed to read Parquet", "TProtocolException", "Could not open file", "IO Error"} {
		if strings.Contains(e.Err.Error(), damage) {
			return "a file of the lake may be damaged or missing: docket verify says which"
		}
	}
	if strings.Contains(e.Err.Error(), filterFailed) {
		return "say in the filter for which events it has one, as in n != 0 && m / n > 2"
	}
	for _, said := range unnamed {
		if strings.Contains(e.Err.Error(), said) {
			return "SHOW TABLES lists the views, DESCRIBE events the columns of one"
		}
	}
	return ""
}

// An UnavailableError is [ErrUnavailable] with what to do.
type UnavailableError struct{}

func (*UnavailableError) Error() string { return ErrUnavailable.Error() }

// Is makes the error one of [ErrUnavailable].
func (*UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Hint says how to build with it.
func (*UnavailableError) Hint() string {
	return "install gcc and build the one that owns the data directory with CGO_ENABLED=1; everything but SQL works without"
}
