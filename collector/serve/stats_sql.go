// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// countInSQL counts by the database that answers queries, if there is one and
// the filter has an equal in SQL. It counts the same as a scan.
func (s *Server) countInSQL(ctx context.Context, r *auditv1.StatsRequest, sel selection, c *counting) (counted bool, err error) {
	if s.cfg.Query == nil {
		return false, nil
	}
	// A filter that may fail is judged by a scan: a database is free to try it on
	// events that are not within the times, and to fail of those.
	if where, err := sel.filter.SQL(s.cfg.dialect()); err != nil || where.Partial {
		return false, nil //nolint:nilerr // it has no equal in SQL, and is scanned for
	}
	within := "true"
	if sel.query.Since != 0 {
		within += fmt.Sprintf(" AND time >= %d", sel.query.Since)
	}
	if sel.query.Until != 0 {
		within += fmt.Sprintf(" AND time < %d", sel.query.Until)
	}
	at := s.cfg.Commits() // both questions are of one state
	if at == 0 {
		return true, nil // and 0 would be whatever is there by then
	}
	ask := func(text string, into any) error {
		rows := bytes.NewBufferString("[")
		sep := ""
		err := s.cfg.Query(ctx, Question{SQL: text, View: sel.view, Filter: r.GetFilter(), At: at}, func([]string) error { return nil }, &lineWriter{each: func(line []byte) {
			rows.WriteString(sep)
			rows.Write(line)
			sep = ","
		}})
		if err != nil {
			return err
		}
		rows.WriteByte(']')
		return json.Unmarshal(rows.Bytes(), into)
	}
	var spans []struct{ N, First, Last int64 }
	if err := ask("SELECT count(*) AS N, coalesce(min(time), 0) AS First, coalesce(max(time), 0) AS Last FROM events WHERE "+within, &spans); errors.Is(err, ErrUnsupported) {
		return false, nil // as without cgo
	} else if err != nil {
		return false, err
	}
	if len(spans) != 1 || spans[0].N == 0 {
		return true, nil
	}
	c.events, c.min, c.max = spans[0].N, spans[0].First, spans[0].Last
	for !c.fixed && c.span() > buckets {
		c.interval *= 2
	}
	var found []struct {
		Facet     int
		Value     string
		N, Denied int64
	}
	if err := ask(c.sql(within, s.cfg.dialect()), &found); err != nil {
		return false, err
	}
	for _, f := range found {
		if f.Facet >= 0 {
			c.values[f.Facet][f.Value] = f.N
			continue
		}
		var n int64
		if _, err := fmt.Sscan(f.Value, &n); err != nil {
			return false, fmt.Errorf("read the bucket %q: %w", f.Value, err)
		}
		c.put(n, count{f.N, f.Denied})
	}
	for i := range c.names {
		all := int64(0)
		for _, n := range c.values[i] {
			all += n
		}
		c.others[i] = c.events - all
	}
	return true, nil
}

func (c *Config) dialect() *filter.Dialect {
	if c.Dialect == nil {
		return filter.DuckDB
	}
	return c.Dialect
}

// sql is one statement for all that is counted: of each facet the values that
// are listed, and the buckets as facet -1. Names of facets are those of columns.
func (c *counting) sql(within string, d *filter.Dialect) string {
	var all []string
	for i, name := range c.names {
		all = append(all, fmt.Sprintf(`(SELECT %d AS Facet, CAST("%s" AS VARCHAR) AS Value, count(*) AS N, 0 AS Denied FROM events WHERE %s GROUP BY "%[2]s" ORDER BY N DESC, Value LIMIT %[4]d)`, i, name, within, c.top))
	}
	all = append(all, fmt.Sprintf(`(SELECT -1 AS Facet, CAST(%s AS VARCHAR) AS Value, count(*) AS N, count(*) FILTER (WHERE decision = '%s') AS Denied FROM events WHERE %s GROUP BY %[1]s LIMIT %[4]d)`, d.Arithmetic("/", "time", strconv.FormatInt(c.interval, 10)), profile.DecisionDeny, within, maxBuckets+1))
	return strings.Join(all, " UNION ALL ")
}

// A lineWriter calls each for a line, however that was written.
type lineWriter struct {
	each func([]byte)
	part []byte
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.part = append(l.part, b...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte{'\n'})
		if !whole {
			return len(b), nil
		}
		if len(line) > 0 {
			l.each(line)
		}
		l.part = rest
	}
}
