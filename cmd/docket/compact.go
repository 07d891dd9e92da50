// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
	"github.com/docket-audit/docket/collector/store"
)

// An offlineVerb changes a directory that nobody runs on.
type offlineVerb struct {
	data, config string
	set          []string
}

func (o *offlineVerb) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.config, "config", os.Getenv("DOCKET_CONFIG"), "configuration file (DOCKET_CONFIG)")
	f.StringArrayVar(&o.set, "set", nil, "set a configuration key, as in --set ledger.key=FILE (DOCKET_TABLE_KEY)")
}

// own takes the directory, which must be one already.
func (o *offlineVerb) own() (*datadir.Dir, error) {
	if err := datadir.Check(o.data); err != nil {
		return nil, err
	}
	return datadir.Own(o.data)
}

// stores opens the stores of a directory for the time of do.
func (o *offlineVerb) stores(c *cobra.Command, dir *datadir.Dir, do func(context.Context, *recordpath.Stores) error) error {
	log, err := telemetry.Logger(c.ErrOrStderr(), "warn")
	if err != nil {
		return err
	}
	cfg, err := loadConfig(o.config, o.set)
	if err != nil {
		return err
	}
	s, err := recordpath.OpenStores(c.Context(), cfg, dir, log)
	if err != nil {
		return err
	}
	err = do(c.Context(), s)
	return errors.Join(err, s.Close(context.WithoutCancel(c.Context())))
}

func compactCommand(s *settings) *cobra.Command {
	var o offlineVerb
	c := &cobra.Command{
		Use:   "compact",
		Short: "Cut what is hot into the public layout",
		Long: `Cut what was stored in haste into public files, DIR/lake/CLASS/region=R/
accountId=TENANT/eventDay=YYYYMMDD/*.parquet: one class, tenant and day each,
sorted by time, which every engine reads as they lie. Of an event nothing changes
but where it is, and the ledger has the statement that says so.

A running docket does that by itself; this is for one that was stopped. With the
ledger's key elsewhere, name the configuration that says where.`,
		Example: `  docket compact
  docket compact --data /var/lib/docket --config docket.toml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.data = s.data
			if err := lakeOnly(s.data, "compact"); err != nil {
				return err
			}
			dir, err := o.own()
			if err != nil {
				return err
			}
			err = o.stores(c, dir, func(ctx context.Context, stores *recordpath.Stores) error {
				hot := false
				err := stores.Compact(ctx, func(done store.Compacted) {
					hot = true
					fmt.Fprintf(c.OutOrStdout(), "%d events: %d hot files, %d bytes, are %d public files, %d bytes (commit %d)\n",
						done.Rows, done.Before, done.BytesBefore, done.After, done.BytesAfter, done.Number)
				})
				if err == nil && !hot {
					fmt.Fprintln(c.OutOrStdout(), "nothing is hot")
				}
				return err
			})
			return errors.Join(err, dir.Close())
		},
	}
	o.flags(c)
	return c
}

func migrateCommand(s *settings) *cobra.Command {
	var o offlineVerb
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring a data directory to the newest format",
		Long: `Bring a data directory to the format of this docket, as a running one does when
it first writes something that older ones would not understand. Older ones refuse
the directory from then on; nothing that was stored changes. DIR/FORMAT holds the
number of the format.`,
		Example: `  docket migrate
  docket migrate --data /var/lib/docket && docket verify --data /var/lib/docket --deep`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.data = s.data
			dir, err := o.own()
			if err != nil {
				return err
			}
			was, err := dir.Format()
			if err == nil && was < datadir.Format {
				// What cannot be opened is left as it is.
				err = o.stores(c, dir, func(context.Context, *recordpath.Stores) error { return dir.Upgrade() })
			}
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "format %d, was %d\n", datadir.Format, was)
			}
			return errors.Join(err, dir.Close())
		},
	}
	o.flags(c)
	return c
}
