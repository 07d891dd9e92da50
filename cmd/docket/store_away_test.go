// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// A docket whose store has gone ends when it is told to, with all that was recorded,
// which the next start stores. One that finds no store leaves nothing behind.
func TestStopWithoutStore(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "docket.toml")
	var text strings.Builder
	for _, table := range []string{"nats", "api", "flight", "ops"} {
		text.WriteString("[" + table + "]\nlisten = \"127.0.0.1:0\"\n")
	}
	if err := os.WriteFile(config, []byte(text.String()+"[collector]\nflush = \"20ms\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	engine := chdbtest.Start(t, "")
	var errs bytes.Buffer
	begin := func(data, dsn string) (*daemon, error) {
		return start(t.Context(), upOptions{config: config, data: data, set: []string{"store.url=" + dsn}, log: slog.New(slog.DiscardHandler), stdout: &errs, stderr: &errs})
	}
	data := filepath.Join(dir, "d")
	d, err := begin(data, engine.DSN())
	if err != nil {
		t.Fatal(err)
	}
	const before, uid = "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6a", "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b"
	stored := func(uid string) bool {
		for e, err := range d.record.Store.Scan(t.Context(), store.Query{Tenant: "acme"}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Header.MetadataUID == uid {
				return true
			}
		}
		return false
	}
	until := func(uid string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !stored(uid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is never stored")
			}
		}
	}
	emitOne(t, d, before)
	until(before) // so that the collector has begun, and tries for ever
	gone := engine.DSN()
	engine.Kill()
	emitOne(t, d, uid)
	// Without a deadline: it ends by itself.
	if err := d.stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if !strings.Contains(errs.String(), "docket: what is not stored yet is on the stream, and stored by the next start: ") {
		t.Errorf("it says %s", errs.String())
	}

	fresh := filepath.Join(dir, "fresh")
	if d, err := begin(fresh, gone); err == nil {
		t.Error("it starts without a store", d.stop(context.WithoutCancel(t.Context())))
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a start in vain leaves a directory: %v", err)
	}

	engine = chdbtest.Start(t, engine.Dir())
	if d, err = begin(data, engine.DSN()); err != nil {
		t.Fatal(err)
	}
	until(uid)
	if err := d.stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
