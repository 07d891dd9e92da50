// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package recordpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// A shared path is one of several that take turns with one database.
type shared struct {
	*Path

	own  *emitter.Emitter
	stop func()
}

func (w *world) shared(name, dsn string, adopt bool, retention config.Keep) *shared {
	w.t.Helper()
	dir, err := datadir.Own(w.t.TempDir() + "/data")
	if err != nil {
		w.t.Fatal(err)
	}
	s := new(shared)
	var stopOwn func()
	s.own, stopOwn = w.emitter(emitter.Config{Dir: dir.Join("wal"), Name: name})
	cfg := &config.Config{}
	cfg.NATS.URL, cfg.Store.URL = "nats://of.the.test", config.DSN(dsn)
	cfg.Lake.Retention = retention
	cfg.Collector.Flush, cfg.Collector.Lease = config.Duration(20*time.Millisecond), config.Duration(2*time.Second)
	if s.Path, err = Open(w.ctx, cfg, dir, w.nats.Conn(w.t), Allowed{AdoptLedger: adopt}, s.own, slog.New(slog.NewTextHandler(w.t.Output(), nil)), noop.NewMeterProvider()); err != nil {
		w.t.Fatal(err)
	}
	running, end := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() {
		err := s.Run(running)
		if err != nil {
			w.t.Log(name, "ended:", err)
		}
		done <- err
	}()
	s.stop = func() {
		w.t.Helper()
		end()
		stopOwn()
		if err := errors.Join(<-done, s.Close(w.ctx), dir.Close()); err != nil {
			w.t.Error(err)
		}
	}
	return s
}

func (w *world) stored(s *shared, tenant string) (n int) {
	w.t.Helper()
	seen := map[string]bool{}
	for e, err := range s.Store.Scan(w.ctx, store.Query{Tenant: tenant}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if seen[e.Header.MetadataUID] {
			w.t.Errorf("event %s is there twice", e.Header.MetadataUID)
		}
		seen[e.Header.MetadataUID] = true
		n++
	}
	return n
}

// tells reports whether the record has an event of docket's own that says something.
func (w *world) tells(s *shared, what string) bool {
	w.t.Helper()
	for e, err := range s.Store.Scan(w.ctx, store.Query{Tenant: profile.TenantDocket}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(e.Raw), `"`+what+`"`) {
			return true
		}
	}
	return false
}

// Two with one database and one NATS take turns: who stands by takes nothing away from
// who collects, answers what is stored, and goes on when the other is gone.
func TestClickHouseTakeover(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := &world{t: t, nats: natstest.Run(t), ctx: ctx}
	w.js = w.nats.JetStream(t)
	if err := stream.Apply(ctx, w.js); err != nil {
		t.Fatal(err)
	}
	dsn := chdbtest.Database(t)
	gateway, stopGateway := w.emitter(emitter.Config{Dir: t.TempDir(), Name: "gateway"})
	first := w.shared("first", dsn, false, "400d")
	w.fill(gateway, 10)
	w.until("the first to store", func() bool { return w.stored(first, "acme") >= 10 })
	second := w.shared("second", dsn, true, "30d")
	w.fill(gateway, 10)
	w.until("the first to go on beside the second", func() bool { return w.stored(first, "acme") >= 20 })
	w.until("the second to know of it", func() bool { return second.Commits() >= first.Commits() && second.Commits() > 0 })
	if n := w.stored(second, "acme"); n < 20 {
		t.Errorf("the second finds %d", n)
	}
	first.stop()
	w.fill(gateway, 10)
	w.until("the second to take over", func() bool { return w.stored(second, "acme") >= 30 })
	// It would delete what the first one kept: that is told, and not done.
	w.until("the record to say so", func() bool { return w.tells(second, "retention_kept") })
	third := w.shared("third", dsn, true, "500d")
	w.fill(gateway, 1)
	w.until("the second to go on", func() bool { return w.stored(second, "acme") >= 31 })
	stopGateway()
	w.until("both to find the same", func() bool { return w.stored(second, "acme") == w.stored(third, "acme") })
	second.stop()
	w.until("the third to keep longer, and to say so", func() bool { return w.tells(third, "retention_changed") })
	third.stop()
}

// A start says what is wrong, with what to do, and never the password.
func TestClickHouseStart(t *testing.T) {
	const password = "s3cr&t/pass"
	file := t.TempDir() + "/password"
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dsn := chdbtest.Database(t)
	open := func(dir *datadir.Dir, url, passwordFile string) error {
		cfg := &config.Config{}
		cfg.Store = config.Store{URL: config.DSN(url), PasswordFile: passwordFile}
		p := new(Path)
		err := p.openStore(t.Context(), cfg, dir, Allowed{}, false, nil, slog.New(slog.DiscardHandler))
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
			t.Errorf("tells the password: %v", err)
		}
		return errors.Join(err, p.Close(t.Context()))
	}
	own := func() *datadir.Dir {
		dir, err := datadir.Own(t.TempDir() + "/data")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dir.Close() })
		return dir
	}
	hint := func(err error) string {
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			return h.Hint()
		}
		return ""
	}
	at := strings.TrimPrefix(dsn, "http://")
	_, at, _ = strings.Cut("@"+at, "@")
	if i := strings.LastIndex(at, "@"); i >= 0 {
		at = at[i+1:]
	}
	good := own()
	if err := open(good, "http://default@"+at, file); err != nil {
		t.Fatal(err)
	}
	if where, err := datadir.Elsewhere(good.Path); err != nil || where != at {
		t.Errorf("the directory says %q, want %q, %v", where, at, err)
	}
	for what, err := range map[string]error{
		"nobody answers":   open(own(), "http://default@127.0.0.1:1/d", file),
		"no database":      open(own(), "http://default@"+strings.Split(at, "/")[0]+"/nosuchdatabase", file),
		"no password file": open(own(), "http://default@"+at, file+"x"),
		"without url":      open(good, "", ""),
		"is not a URL":     open(own(), "mysql://x:"+"s3cr"+"@h/d", ""),
	} {
		if err == nil || hint(err) == "" {
			t.Errorf("%s: %v, hint %q", what, err, hint(err))
		}
	}
	if err := os.RemoveAll(good.Join("ledger")); err != nil {
		t.Fatal(err)
	}
	if err := open(good, dsn, ""); !errors.Is(err, ledger.ErrGone) || strings.Contains(err.Error(), "so far") {
		t.Errorf("without its ledger: %v", err)
	}
	if err := open(good, chdbtest.Database(t), ""); !errors.Is(err, ledger.ErrGone) || !strings.Contains(err.Error(), "its events were in "+at+" so far") {
		t.Errorf("another database: %v", err)
	}
	lake := own()
	if err := open(lake, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := open(lake, dsn, ""); err == nil || hint(err) == "" {
		t.Errorf("over a lake: %v", err)
	}
	if _, err := OpenStores(t.Context(), new(config.Config), good, slog.New(slog.DiscardHandler)); !errors.Is(err, datadir.ErrElsewhere) || hint(err) == "" {
		t.Errorf("open stores: %v", err)
	}
}
