// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// The engine is spoken to through its C interface and not through database/sql:
// DuckDB's driver for that holds the whole of an answer in memory, beside the
// memory limit, so that one careless SELECT would take the process along. Here
// an answer is fetched while it is made.

// A conn is one connection, for one goroutine at a time.
type conn struct {
	c duckdb.Connection
}

func connect(db duckdb.Database) (*conn, error) {
	c := new(conn)
	if duckdb.Connect(db, &c.c) == duckdb.StateError {
		return nil, errors.New("connect to DuckDB")
	}
	return c, nil
}

func (c *conn) close() { duckdb.Disconnect(&c.c) }

// watch interrupts what the connection does once ctx ends, until release is
// called. An interrupt is lost when it comes before the engine begins, so that
// it is repeated.
func (c *conn) watch(ctx context.Context) (release func()) {
	released, ended := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		for {
			duckdb.Interrupt(c.c)
			select {
			case <-released:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return func() {
		close(released)
		if !stop() {
			<-ended
		}
	}
}

// exec runs statements of ours whose answers do not matter.
func (c *conn) exec(statements []string) error {
	for _, s := range statements {
		var res duckdb.Result
		state := duckdb.Query(c.c, s, &res)
		text := duckdb.ResultError(&res)
		duckdb.DestroyResult(&res)
		if state == duckdb.StateError {
			return fmt.Errorf("%.60s: %s", s, text)
		}
	}
	return nil
}

// start prepares a query and begins to run it. args are for its parameters.
func (c *conn) start(query string, args ...string) (*duckdb.Result, error) {
	return c.startWith(query, func(stmt duckdb.PreparedStatement) error {
		for i, arg := range args {
			if duckdb.BindVarcharLength(stmt, duckdb.IdxT(i+1), arg, duckdb.IdxT(len(arg))) == duckdb.StateError {
				return fmt.Errorf("bind parameter %d", i+1)
			}
		}
		return nil
	})
}

// startWith prepares a query, has bind give its parameters their values, and
// begins to run it.
func (c *conn) startWith(query string, bind func(duckdb.PreparedStatement) error) (res *duckdb.Result, err error) {
	err = c.prepare(query, func(stmt duckdb.PreparedStatement) error {
		if err := bind(stmt); err != nil {
			return err
		}
		var pending duckdb.PendingResult
		state := duckdb.PendingPreparedStreaming(stmt, &pending)
		defer duckdb.DestroyPending(&pending)
		if state == duckdb.StateError {
			return errors.New(duckdb.PendingError(pending))
		}
		res = new(duckdb.Result)
		if duckdb.ExecutePending(pending, res) == duckdb.StateError {
			text := duckdb.ResultError(res)
			duckdb.DestroyResult(res)
			return errors.New(text)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// prepare hands with a statement, which is good until that returns.
func (c *conn) prepare(query string, with func(duckdb.PreparedStatement) error) error {
	if strings.IndexByte(query, 0) >= 0 {
		return errors.New("query holds a zero byte") // C would see its beginning only
	}
	var stmt duckdb.PreparedStatement
	state := duckdb.Prepare(c.c, query, &stmt)
	defer duckdb.DestroyPrepare(&stmt)
	if state == duckdb.StateError {
		return errors.New(duckdb.PrepareError(stmt))
	}
	return with(stmt)
}
