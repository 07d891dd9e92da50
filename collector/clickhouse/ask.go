// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Snapshot is what there is to be seen of a store at one moment, for who asks the
// server in SQL.
type Snapshot struct {
	// Number is that of the last commit.
	Number uint64
	// Table is the name of the table with events, with that of its database.
	Table string
	// Committed is the condition that a row of it is of one of the commits.
	Committed string
	// Tenants are those of which something was ever stored, sorted.
	Tenants []string
}

// Snapshot returns what there is now.
func (s *Store) Snapshot(ctx context.Context) (Snapshot, error) {
	out := Snapshot{Committed: "false"}
	sp, database, err := s.learn(ctx)
	if err != nil {
		return Snapshot{}, s.failed("read ClickHouse", err)
	}
	out.Table = identifier(database) + "." + identifier("docket_events")
	var writers, first, last []string
	for i, w := range sp.writers {
		if f, l := sp.firsts[i], sp.lasts[i]; f <= l {
			writers, first, last = append(writers, fmt.Sprint(w)), append(first, fmt.Sprint(f)), append(last, fmt.Sprint(l))
			out.Number = max(out.Number, uint64(l))
		}
	}
	if len(writers) > 0 {
		of := "[" + strings.Join(writers, ", ") + "]"
		out.Committed = fmt.Sprintf("_commit BETWEEN transform(_writer, %s, [%s], 0) AND transform(_writer, %[1]s, [%[3]s], -1)", of, strings.Join(first, ", "), strings.Join(last, ", "))
	}
	out.Tenants = s.Tenants()
	return out, nil
}

// Tenants returns those of which something was ever stored, sorted.
func (s *Store) Tenants() []string {
	seen := map[string]bool{}
	for _, e := range s.last().Epochs {
		if e.Tenant != "" {
			seen[e.Tenant] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func identifier(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// Select runs one SELECT and calls read with its rows, which end when that returns.
// An exception of the server is a [*clickhouse.Exception] as it is; every other error
// is one of the store.
func (s *Store) Select(ctx context.Context, settings map[string]any, sql string, read func(driver.Rows) error) error {
	rows, err := s.conn.Query(s.settings(ctx, settings), sql)
	if err == nil {
		err = read(rows)
		err = errors.Join(err, rows.Close())
	}
	if refused := new(clickhouse.Exception); err == nil || errors.As(err, &refused) {
		return err
	}
	return s.failed("read ClickHouse", err)
}
