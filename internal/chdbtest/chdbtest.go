// SPDX-License-Identifier: Apache-2.0

// Package chdbtest runs a real ClickHouse engine for tests. There is no server of a
// current release that a test could fetch, but there is libchdb, the same engine as
// a library. It is loaded by a process of its own, chdbserver, which serves the
// HTTP interface that clickhouse-go talks to: so it can be killed as a server can.
//
//	opts, err := clickhouse.ParseDSN(chdbtest.Database(t)) // a database of the test's own
//
//	e := chdbtest.Start(t, dir) // an engine of the test's own
//	e.Kill()                    // as a crash looks to clients
//	e = chdbtest.Start(t, dir)  // what was acknowledged is there
//
// The library is fetched by `make .tmp/chdb/.done`; DOCKET_TEST_CHDB names one that
// is elsewhere. Without it tests are left out, and say so, unless the build tag chdb
// is set: then they fail. `make clickhouse` runs them.
//
// With DOCKET_TEST_CLICKHOUSE, the DSN of a server, Database makes its databases
// there, and no library is needed for it. The user must be allowed to create them.
//
// The engine is whole; what is before it is not a server. It takes no native
// protocol and no compression, has one user without a password, who may do everything
// unless [StartAs] says what, gives queries ids
// of its own and keeps no query log.
package chdbtest

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// An Engine is a process that serves a directory. It is not for concurrent use,
// but what it serves is.
type Engine struct {
	t    testing.TB
	dir  string
	proc *process // nil when stopped
}

// Start starts an engine over dir, or over a directory of the test's own if dir is
// "", and stops it when the test ends. A directory is served by one engine at a time.
func Start(t testing.TB, dir string) *Engine {
	t.Helper()
	return begin(t, dir)
}

// StartAs is [Start] of an engine whose user may do what is granted and nothing else:
// each grant is such as "GRANT SELECT ON d.*", as the users file of a server has them.
func StartAs(t testing.TB, dir string, grants []string) *Engine {
	t.Helper()
	return StartWith(t, dir, nil, grants)
}

// StartWith is [StartAs] of an engine whose user has a profile with settings; without
// grants they may do everything.
func StartWith(t testing.TB, dir string, profile map[string]string, grants []string) *Engine {
	t.Helper()
	var settings, may strings.Builder
	for name, value := range profile {
		settings.WriteString("<" + name + ">")
		if err := xml.EscapeText(&settings, []byte(value)); err != nil {
			t.Fatal(err)
		}
		settings.WriteString("</" + name + ">")
	}
	var queries strings.Builder
	for _, grant := range grants {
		queries.WriteString("<query>")
		if err := xml.EscapeText(&queries, []byte(grant)); err != nil {
			t.Fatal(err)
		}
		queries.WriteString("</query>")
	}
	if grants != nil {
		may.WriteString("<grants>" + queries.String() + "</grants>")
	}
	about := t.TempDir()
	users, config := filepath.Join(about, "users.xml"), filepath.Join(about, "config.xml")
	for name, text := range map[string]string{
		config: "<clickhouse><users_config>" + users + "</users_config></clickhouse>",
		users: "<clickhouse><profiles><default/><own>" + settings.String() + "</own></profiles><quotas><default/></quotas><users><default><password/><networks><ip>::/0</ip></networks>" +
			"<profile>own</profile><quota>default</quota>" + may.String() + "</default></users></clickhouse>",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return begin(t, dir, "-config", config)
}

func begin(t testing.TB, dir string, args ...string) *Engine {
	t.Helper()
	library := need(t)
	if dir == "" {
		dir = t.TempDir()
	}
	proc, err := start(library, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, dir: dir, proc: proc}
	t.Cleanup(e.Stop)
	return e
}

// DSN is where the engine is reached, as clickhouse-go parses it.
func (e *Engine) DSN() string {
	e.t.Helper()
	if e.proc == nil {
		e.t.Fatal("chdbtest: the engine is stopped")
	}
	return e.proc.dsn()
}

// Dir is the directory that the engine serves.
func (e *Engine) Dir() string { return e.dir }

// Kill ends the engine at once, as SIGKILL does. It returns when the process is
// gone: then the directory can be served again.
func (e *Engine) Kill() {
	e.t.Helper()
	if e.proc == nil {
		return
	}
	proc := e.proc
	e.proc = nil
	proc.kill()
}

// Stop ends the engine in order, if it runs. Queries that run are ended too.
func (e *Engine) Stop() {
	e.t.Helper()
	if e.proc == nil {
		return
	}
	proc := e.proc
	e.proc = nil
	if err := proc.stop(); err != nil {
		e.t.Error(err)
	}
}

// shared is the engine that the tests of a package share. It ends with the test
// binary, and removes its directory itself.
var shared = sync.OnceValues(func() (*process, error) {
	library, err := library()
	if err != nil {
		return nil, err
	}
	return start(library, "")
})

// Database creates a database for the test and returns its DSN; it is dropped when
// the test ends. It is on the server that DOCKET_TEST_CLICKHOUSE names, or else on
// an engine that the tests of a package share.
func Database(t testing.TB) (dsn string) {
	t.Helper()
	dsn = os.Getenv("DOCKET_TEST_CLICKHOUSE")
	if dsn == "" {
		need(t)
		proc, err := shared()
		if err != nil {
			t.Fatal(err)
		}
		dsn = proc.dsn()
	}
	// It does not begin as the tables of a store do: a name that is refused for its
	// beginning would hide that one of another database is not.
	name := "test_docket_" + strings.ToLower(rand.Text())
	run := func(sql string) {
		t.Helper()
		opts, err := clickhouse.ParseDSN(dsn)
		if err != nil {
			t.Fatalf("chdbtest: parse DSN: %v", err)
		}
		db, err := clickhouse.Open(opts)
		if err != nil {
			t.Fatalf("chdbtest: open: %v", err)
		}
		// The test's own context has ended when the database is dropped.
		if err := errors.Join(db.Exec(context.WithoutCancel(t.Context()), sql), db.Close()); err != nil {
			t.Fatalf("chdbtest: %s: %v", sql, err)
		}
	}
	run("CREATE DATABASE " + name)
	t.Cleanup(func() { run("DROP DATABASE " + name) })
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("chdbtest: parse DSN: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}
