// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/ClickHouse/clickhouse-go/v2"

	files "github.com/docket-audit/docket/schemas/clickhouse"
)

// A migration is one file of schemas/clickhouse.
type migration struct {
	version int64 // its number
	name    string
}

var migrationName = regexp.MustCompile(`^(\d+)_\w+\.sql$`)

// migrations returns those that there are, in order.
func migrations() []migration {
	names, err := fs.Glob(files.Files, "*.sql")
	if err != nil {
		panic("clickhouse: " + err.Error()) // of a pattern that is a constant
	}
	slices.Sort(names)
	var out []migration
	for _, name := range names {
		if m := migrationName.FindStringSubmatch(name); m != nil {
			version, _ := strconv.ParseInt(m[1], 10, 64) // digits
			out = append(out, migration{version, name})
		}
	}
	return out
}

// newest is the version of the tables that this program makes.
func newest() int64 {
	all := migrations()
	return all[len(all)-1].version
}

// What the server is asked to remember: as long as the longest time that an insert
// may be on its way, and then some.
const (
	windowAlone   = "non_replicated_deduplication_window = 1000"
	windowCluster = "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
)

// onCluster is what statements that change tables have behind the name; "" on one
// server.
func onCluster(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " ON CLUSTER " + text(cluster)
}

// engine returns the engine of a table. Those of which every node has all are
// replicated over the whole cluster, the others within a shard.
func engine(cluster, kind, table, arguments string, sharded bool) string {
	switch {
	case cluster == "":
		return kind + "(" + arguments + ")"
	case sharded:
		arguments = strings.Trim("'/clickhouse/tables/{database}/"+table+"/{shard}', '{replica}', "+arguments, ", ")
	default:
		arguments = strings.Trim("'/clickhouse/tables/{database}/"+table+"', '{shard}-{replica}', "+arguments, ", ")
	}
	return "Replicated" + kind + "(" + arguments + ")"
}

// render returns the statements of a file, for a server of which knows tells whether it
// has a setting.
func render(name, cluster string, knows func(setting string) (bool, error)) ([]string, error) {
	src, err := fs.ReadFile(files.Files, name)
	if err != nil {
		return nil, err
	}
	window := windowAlone + ", fsync_after_insert = 1, fsync_part_directory = 1"
	if cluster != "" {
		window = windowCluster
	}
	t, err := template.New(name).Funcs(template.FuncMap{
		"knows":     knows,
		"local":     func(table string) string { return local(cluster, table) },
		"sharded":   func(table string) string { return engine(cluster, "MergeTree", table, "", true) },
		"shared":    func(table string) string { return engine(cluster, "MergeTree", table, "", false) },
		"replacing": func(table, by string) string { return engine(cluster, "ReplacingMergeTree", table, by, false) },
	}).Parse(string(src))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	quoted := ""
	if cluster != "" {
		quoted = text(cluster)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]string{"Cluster": quoted, "OnCluster": onCluster(cluster), "Window": window}); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return statementsIn(b.String()), nil
}

// knows reports whether the server has a setting: older ones refuse those that came later.
func (s *server) knows(ctx context.Context, setting string) (known bool, err error) {
	err = s.query(ctx, "SELECT count() > 0 FROM system.settings WHERE name = "+text(setting), func(scan func(...any) error) error {
		var n uint8
		err := scan(&n)
		known = n > 0
		return err
	})
	return known, err
}

// statementsIn cuts a file at the semicolons that end lines. Comments and blank
// lines are left out.
func statementsIn(file string) []string {
	var out []string
	var statement strings.Builder
	for line := range strings.Lines(file) {
		if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "--") {
			continue
		}
		body, end := strings.CutSuffix(strings.TrimRight(line, " \n"), ";")
		statement.WriteString(body)
		if !end {
			statement.WriteByte('\n')
			continue
		}
		out = append(out, statement.String())
		statement.Reset()
	}
	return out
}

// local returns the name of the table in which the rows of table lie.
func local(cluster, table string) string {
	if cluster == "" {
		return table
	}
	return table + "_local"
}

// altered returns the name by which a table is altered.
func (s *server) altered(table string) string {
	if table == "docket_events" || table == "docket_stubs" {
		table = local(s.cluster, table)
	}
	return table + onCluster(s.cluster)
}

// version returns that of the tables; 0 when there are none.
func (s *server) version(ctx context.Context) (version int64, err error) {
	err = s.query(ctx, "SELECT max(version) FROM docket_schema", func(scan func(...any) error) error { return scan(&version) })
	if unknown := new(clickhouse.Exception); errors.As(err, &unknown) && unknown.Code == 60 {
		return 0, nil
	}
	return version, err
}

func tooNew(version int64) error {
	return fmt.Errorf("%w: %d, this program knows %d", ErrNewer, version, newest())
}

// migrate makes the tables what this program wants. Each file may be applied again,
// should a migration have been interrupted.
func (s *server) migrate(ctx context.Context, opts Options) error {
	log := opts.Logger.With("component", "clickhouse")
	if err := s.safe(ctx, true); err != nil {
		return err
	}
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	if version > newest() {
		return tooNew(version)
	}
	for _, m := range migrations() {
		if m.version <= version {
			continue
		}
		statements, err := render(m.name, s.cluster, func(setting string) (bool, error) { return s.knows(ctx, setting) })
		if err != nil {
			return err
		}
		for _, statement := range statements {
			if err := s.exec(ctx, nil, statement); err != nil {
				return fmt.Errorf("apply %s: %w", m.name, err)
			}
		}
		if err := s.exec(ctx, nil, fmt.Sprintf("INSERT INTO docket_schema (version, name, applied) SELECT %d, %s, now64(3)", m.version, text(m.name))); err != nil {
			return fmt.Errorf("apply %s: %w", m.name, err)
		}
		log.Info("applied a migration", "name", m.name)
	}
	return s.warnOfViews(ctx, log)
}

func (s *server) views(ctx context.Context) (remember, forget int, err error) {
	err = s.query(ctx, fmt.Sprintf("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name IN ("+
		"SELECT if(v.target_table = '', v.name, v.target_table) FROM system.tables AS v WHERE v.database = currentDatabase() AND v.engine = 'MaterializedView' AND v.name IN ("+
		"SELECT arrayJoin(dependencies_table) FROM system.tables WHERE database = currentDatabase() AND name = %s))", text(local(s.cluster, "docket_events"))),
		func(scan func(...any) error) error {
			var engine string
			if err := scan(&engine); err != nil {
				return err
			}
			if strings.HasPrefix(engine, "Replicated") || strings.Contains(engine, "non_replicated_deduplication_window") {
				remember++
			} else {
				forget++
			}
			return nil
		})
	return remember, forget, err
}

// warnOfViews tells an operator of views that may come to count wrong.
func (s *server) warnOfViews(ctx context.Context, log *slog.Logger) error {
	_, forget, err := s.views(ctx)
	if forget > 0 {
		log.Warn("materialised views of docket_events may miss events, or have them twice, after a crash: their tables have no non_replicated_deduplication_window", "views", forget)
	}
	return err
}

// forget makes the server forget the tokens of events. With Keeper a token and its
// rows are noted at once, so that what is not there yet comes.
func (s *server) forget(ctx context.Context) error {
	if s.cluster != "" {
		return errors.New("a replica does not have it yet")
	}
	for _, window := range []string{"non_replicated_deduplication_window = 0", windowAlone} {
		if err := s.exec(ctx, nil, "ALTER TABLE "+s.altered("docket_events")+" MODIFY SETTING "+window); err != nil {
			return err
		}
	}
	return nil
}
