// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/columnar"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

func queryCommand(s *settings) *cobra.Command {
	var (
		format string
		q      auditv1.QueryRequest
	)
	c := &cobra.Command{
		Use:   "query SQL",
		Short: "Ask in SQL",
		Long: `Ask in SQL: exactly one SELECT. The view events has every event, its exact bytes
in the column _raw; operations has one row per operation, evaluations one per
call of a binding with what it answered. Times are milliseconds since 1970:
make_timestamp(time * 1000) makes them readable. There is no default limit of
rows. SQL of "-" is read from standard input.

Each class of OCSF has a view of its name, such as detection_finding, with the same
columns; any attribute is in _raw: (_raw->>'$.actor.user.name') = 'alice', with
parentheses, as ->> binds loosely. --tenant and
--filter say of which events there is anything to be seen, in all views: --filter
in CEL, as of tail, as far as SQL has words for it (docs/filters.md).

--at N asks the store as it was when commit N was the newest: the column _commit
says which commit an event came with. What expired or was erased since is not there.`,
		Example: `  docket query "SELECT decision, count(*) AS n FROM operations GROUP BY ALL"
  docket query "SELECT make_timestamp(time * 1000) AS at, principal, method, reason FROM operations WHERE decision = 'deny' ORDER BY time DESC LIMIT 10"
  docket query --tenant acme --filter 'method.startsWith("Delete")' "SELECT principal, count(*) AS n FROM operations GROUP BY ALL"
  docket query -o csv - < report.sql
  docket query -o parquet "SELECT * FROM operations" > operations.parquet`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkFilter(q.Filter); err != nil {
				return err
			}
			q.Sql = args[0]
			if q.Sql == "-" {
				b, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<20))
				if err != nil {
					return fmt.Errorf("read SQL: %w", err)
				}
				q.Sql = string(b)
			}
			if err := checkSQL(q.Sql); err != nil {
				return err
			}
			client, err := s.open(c)
			if err != nil {
				return err
			}
			defer client.Close()
			var p *cli.Printer
			err = client.Query(c.Context(), &q, func(columns []string) (err error) {
				p, err = cli.Print(c.OutOrStdout(), cli.Options{Format: format, Columns: columns, Formats: map[string]func(io.Writer) (cli.RowWriter, error){
					cli.Parquet: func(w io.Writer) (cli.RowWriter, error) { return columnar.Objects(w, columns) },
				}})
				return err
			}, func(object []byte) error {
				cells, err := cellsOf(object)
				if err != nil {
					return err
				}
				return p.Row(cli.Row{Cells: cells, JSON: object})
			})
			if err != nil && c.Context().Err() != nil && p != nil {
				cli.Interrupted(c.Context(), c.ErrOrStderr(), p.Rows(), "row")
				return errors.Join(p.Flush(), cli.Code(cli.ExitPartial))
			}
			if err != nil {
				return err
			}
			return p.Close()
		},
	}
	f := c.Flags()
	f.StringSliceVar(&q.Tenants, "tenant", nil, "only events of this tenant")
	f.StringVar(&q.Filter, "filter", "", `only events that CEL over columns selects, such as 'duration_ms > 100'`)
	f.Uint64Var(&q.At, "at", 0, "the store as it was at the commit of this number")
	cli.OutputFlag(f, &format, cli.Parquet)
	cli.NoFlag(c, "input-file", "SQL asks a store: `docket ingest FILE` takes the events of a file into one, `docket tail --input-file FILE` selects and prints them; SQL itself is read from a file by `docket query - < FILE`")
	cli.NoFlag(c, "limit", "SQL has LIMIT")
	for _, flag := range []string{"kind", "decision", "method", "service", "principal", "interceptor", "operation", "since", "until", "not"} {
		cli.NoFlag(c, flag, fmt.Sprintf("SQL has WHERE; or select with --filter, which `docket search --%s ... --print-filter` prints", flag))
	}
	return c
}

// checkSQL says of what cannot be a query what was meant.
func checkSQL(text string) error {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, strings.Join(eventColumns, ",")) || strings.HasPrefix(text, "{\"") {
		return cli.Usage(cli.Hint(errors.New("these are events, not a query"), "`docket query -` reads SQL from standard input; `docket tail --input-file FILE` selects among events of a file, `docket ingest FILE` takes them into a store"))
	}
	if text == "" {
		return cli.Usage(cli.Hint(errors.New("the query is empty"), "docket query \"SELECT count(*) FROM events\""))
	}
	if info, err := os.Stat(text); err == nil && info.Mode().IsRegular() {
		return cli.Usage(cli.Hint(fmt.Errorf("%s is a file, not a query", text), "docket query - < %s", text))
	}
	return nil
}

// cellsOf returns the values of an object in their order, as people read them.
func cellsOf(object []byte) ([]string, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	var cells []string
	for dec.PeekKind() != '}' {
		if _, err := dec.ReadToken(); err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
		v, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
		switch v.Kind() {
		case '"':
			text, err := jsontext.AppendUnquote(nil, v)
			if err != nil {
				return nil, fmt.Errorf("read row: %w", err)
			}
			cells = append(cells, string(text))
		case 'n':
			cells = append(cells, "")
		default:
			cells = append(cells, strings.TrimSpace(v.String()))
		}
	}
	return cells, nil
}
