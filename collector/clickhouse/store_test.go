// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// database returns the DSN of the database that stands for a directory of a test.
func database(dsn, dir string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(dir))
	u.Path = "/d" + hex.EncodeToString(sum[:8])
	return u.String()
}

// query asks an engine by other means than the store.
func query(t storetest.TB, dsn, sql string, to ...any) {
	t.Helper()
	opts, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatalf("parse DSN: %v", err)
	}
	conn, err := driver.Open(opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer conn.Close()
	if len(to) == 0 {
		err = conn.Exec(context.Background(), sql)
	} else {
		err = conn.QueryRow(context.Background(), sql).Scan(to...)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestStore(t *testing.T) {
	base := chdbtest.Database(t)
	made := make(map[string]bool)
	storetest.Run(t, storetest.Subject{
		Open: func(dir string, fault func(string) error) (storetest.Store, error) {
			dsn := database(base, dir)
			if !made[dsn] {
				u, _ := url.Parse(dsn)
				query(t, base, "CREATE DATABASE "+u.Path[1:])
				made[dsn] = true
			}
			return clickhouse.Open(context.Background(), dsn, clickhouse.Options{Fault: fault})
		},
	})
}
