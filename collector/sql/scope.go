// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
)

// A Scope is what one database may see: exactly these files. Authorization
// makes a scope for each set of rights; a database is never shared between two.
type Scope struct {
	Dir   string   // the lake's directory
	Files []string // segments, relative to Dir, with slashes; there may be none

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

// paths returns the absolute paths of the files.
func (s Scope) paths() ([]string, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("open SQL over %s: %w", s.Dir, err)
	}
	paths := make([]string, len(s.Files))
	for i, f := range s.Files {
		local := filepath.FromSlash(f)
		if !filepath.IsLocal(local) {
			return nil, fmt.Errorf("open SQL over %s: file %q lies outside", s.Dir, f)
		}
		paths[i] = filepath.Join(dir, local)
	}
	return paths, nil
}

// ErrUnavailable says that this program was built without DuckDB.
var ErrUnavailable = errors.New("SQL is not part of this build")

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

// Hint says what would be accepted.
func (e *StatementError) Hint() string { return e.hint }

// A QueryError says that a query failed. Its text is the engine's.
type QueryError struct {
	Err error
}

func (e *QueryError) Error() string { return "query: " + e.Err.Error() }
func (e *QueryError) Unwrap() error { return e.Err }

// Hint says where the names of tables and columns can be found.
func (e *QueryError) Hint() string {
	return "SHOW TABLES lists the views, DESCRIBE events the columns of one"
}

// An UnavailableError is [ErrUnavailable] with what to do.
type UnavailableError struct{}

func (*UnavailableError) Error() string { return ErrUnavailable.Error() }

// Is makes the error one of [ErrUnavailable].
func (*UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Hint says how to build with it.
func (*UnavailableError) Hint() string {
	return "install gcc and build with CGO_ENABLED=1; everything but SQL works without"
}
