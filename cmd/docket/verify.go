// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/verify"
)

func verifyCommand(s *settings) *cobra.Command {
	var (
		deep         bool
		tenant       string
		key, against string
		since        string
		format       string
		tables       tablesFlags
		keep         []string
	)
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that the history is whole and unchanged",
		Long: `Check that the history is whole and unchanged: every file's digest, the commit
statements, the sequences of every epoch, and the ledger. That finds whatever was
changed behind the back of the ledger's owner, but for the indexes that look-ups
go by, which are no evidence. --deep looks at these, too, and does not believe the owner
either: it hashes every event again, follows the hash chains, and derives every
column and every count of the statements from the events.

Without --key the ledger's public key is taken from the data directory, which
shows that the directory agrees with itself, not who made it. Give the key that
you kept elsewhere. --against takes a ledger checkpoint that you kept, and shows
that the history it covers is still all there.

Where an epoch ends its emitter signs. The signatures are checked with the public
keys in DIR/keys/emitter.vkey and DIR/keys/emitters/*.vkey: copy there those of
gateways elsewhere, from their DIR/keys/emitter.vkey. An epoch whose key is not
there says so; a signature that is wrong is damage.

--since judges in depth only what was stored from then on, --tenant only what is
of one tenant. The ledger, the statements and the manifest are judged whole in
any case; of the files that are passed over only names and sizes are looked at. The
report says what was passed over. Both are for directories.

Where the store is in ClickHouse, --store says where, and --data names the directory
of the docket that fills it, which has the ledger; without the flag DOCKET_STORE says
it of such a directory. The password of the user is in --store-password-file, or
DOCKET_STORE_PASSWORD_FILE. Then --deep is the only mode: every
row of every table is read, and what a query by a view would find is compared with
it. An event that left by retention has its stub; that its time was over is
the word of the database, unless --retention says how long events are kept.

The exit code is 0 when all is well, 3 when there is damage, a conflict or
something missing, 4 when a part could not be read.`,
		Example: `  docket verify
  docket verify --deep --key ledger.vkey --against checkpoint-of-yesterday
  docket verify --since 24h --tenant acme
  docket verify --deep --store clickhouse://auditor@db.example:9000/docket --store-password-file auditor.password --retention 400d
  docket verify -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("verify has no output format %q", format), "use table or json"))
			}
			if err := judgeable(s.data); err != nil {
				return err
			}
			dsn, err := tables.of(s.data)
			if err != nil {
				return err
			}
			if dsn == "" {
				if err := datadir.Within(s.data, "verify", "say where, and as whom: docket verify --store clickhouse://user@host:9000/database; docs/copy.md"); err != nil {
					return err
				}
			}
			o, err := verifyOptions(deep, key, against)
			if err != nil {
				return err
			}
			o.Tenant = tenant
			if o.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			reader, err := verifiedTables(c.Context(), &o, dsn, keep)
			if err != nil {
				return err
			}
			if reader != nil {
				defer func() { _ = reader.Close() }() // was only read
			}
			bar := cli.NewProgress(c.ErrOrStderr(), "verifying", cli.UnitBytes)
			if deep || reader != nil {
				o.Progress = bar.Set
			}
			report, err := verify.Run(c.Context(), s.data, o)
			bar.Done()
			if err != nil {
				return err
			}
			if format == cli.JSON {
				err = cli.PrintJSON(c.OutOrStdout(), report)
			} else {
				err = report.WriteText(c.OutOrStdout())
			}
			if err != nil {
				return err
			}
			return cli.Code(report.Code())
		},
	}
	f := c.Flags()
	f.BoolVar(&deep, "deep", false, "also hash every event again and derive every column from it")
	f.StringVar(&key, "key", "", "file with the ledger's public key, kept elsewhere")
	f.StringVar(&against, "against", "", "file with a ledger checkpoint that was kept")
	f.StringVar(&since, "since", "", "judge in depth what was stored since: 2026-10-28, 2026-10-28T06:00:00Z, or 24h or 7d for that long ago")
	f.StringVar(&tenant, "tenant", "", "judge in depth what is of this tenant")
	f.StringVar(&tables.url, "store", "", "where the store is, if it is in ClickHouse: clickhouse://USER@HOST:9000/DATABASE, or https://... (DOCKET_STORE)")
	f.StringVar(&tables.passwordFile, "store-password-file", "", "file with the password of the user in --store")
	f.StringArrayVar(&keep, "retention", nil, `how long events are kept in --store, as in "400d" or "tenant=acme 30d"; may be repeated`)
	f.StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

// tablesFlags say where a store in ClickHouse is.
type tablesFlags struct{ url, passwordFile string }

// of returns the URL of the store whose ledger a directory has; "" where the store is
// in it: a lake is judged whatever the environment says.
func (f *tablesFlags) of(dir string) (string, error) {
	file := f.passwordFile
	if f.url == "" && file != "" {
		return "", cli.Usagef("--store-password-file is about a --store")
	}
	if at, _ := datadir.Elsewhere(dir); f.url == "" {
		if at == "" {
			return "", nil
		}
		file = os.Getenv("DOCKET_STORE_PASSWORD_FILE")
	}
	return storeURL("--store", f.url, file)
}

// verifiedTables opens the store in tables that is to be verified; nil when it is in
// the directory.
func verifiedTables(ctx context.Context, o *verify.Options, dsn string, keep []string) (*clickhouse.Reader, error) {
	if dsn == "" {
		if len(keep) > 0 {
			return nil, cli.Usagef("--retention is about a --store; in a directory the statements say by which rule events left")
		}
		return nil, nil
	}
	if !o.Since.IsZero() || o.Tenant != "" {
		return nil, cli.Usage(cli.Hint(errors.New("a store in ClickHouse is verified whole: of what --since or --tenant pass over, nothing would tell whether it is there, as names and sizes of files do"),
			"leave out --since and --tenant; or `docket copy` it into a directory, which can be verified in part"))
	}
	if len(keep) > 0 {
		p, err := retentionOf(keep)
		if err != nil {
			return nil, cli.Usage(fmt.Errorf("--retention: %w", err))
		}
		o.Retention = &p
	}
	r, err := clickhouse.OpenReader(ctx, dsn, clickhouse.Options{})
	if err != nil {
		return nil, err
	}
	o.Tables = r.Evidence()
	return r, nil
}

// retentionOf reads a period and rules, in any order.
func retentionOf(list []string) (retention.Policy, error) {
	period, rules := "", []string{}
	for _, text := range list {
		switch {
		case strings.Contains(strings.TrimSpace(text), " "):
			rules = append(rules, text)
		case period != "":
			return retention.Policy{}, fmt.Errorf("both %s and %s are for all that no rule is about", period, text)
		default:
			period = text
		}
	}
	return retention.ParsePolicy(period, rules...)
}

// judgeable says whether there is a directory to judge. A lost FORMAT is damage
// that verify is there to tell of.
func judgeable(dir string) error {
	err := datadir.Check(dir)
	if err == nil || errors.Is(err, datadir.ErrTooNew) {
		return err
	}
	if _, serr := os.Stat(dir); serr != nil {
		return err
	}
	return nil
}

func verifyOptions(deep bool, key, against string) (o verify.Options, err error) {
	o.Deep = deep
	if key != "" {
		b, err := os.ReadFile(key)
		if err != nil {
			return o, cli.Hint(fmt.Errorf("read key: %w", err), "--key names a file with the ledger's public key, a copy of DIR/keys/ledger.vkey")
		}
		o.Key = strings.TrimSpace(string(b))
	}
	if against != "" {
		if o.Against, err = os.ReadFile(against); err != nil {
			return o, cli.Hint(fmt.Errorf("read checkpoint: %w", err), "--against names a copy of DIR/ledger/checkpoint")
		}
	}
	return o, nil
}
