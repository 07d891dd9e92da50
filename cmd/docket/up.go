// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/duration"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
	"github.com/docket-audit/docket/internal/softlimit"
)

const upLong = `Run everything in one process over one data directory:

  proxy      governs the calls of the service named in [gateway] by the chain in
             the same file, and records every evaluation, result, failure and
             outcome. Without [gateway] there is none, and docket collects what
             others emit.
  broker     NATS with JetStream in DIR/nats, every write synced; with [nats] url
             another one is used.
  collector  stores what is on the stream in DIR/lake or, with --store or [store]
             url, in ClickHouse, each commit in the ledger in DIR/ledger.
  api        answers questions over HTTP: /v1/events, /v1/tail, /v1/query,
             /v1/status, /v1/chain/reload. Callers send the token in DIR/keys/api.token.
  flight     answers SQL over Arrow Flight, in record batches, to those with the
             same token; [flight] listen = "" turns it off.
  ops        /healthz, /readyz, /metrics.

A port that is taken makes its listener move to the next free one. DIR/run.json
says where everything is while docket runs; every reading verb finds it there
and asks over DIR/docket.sock. The directory has one owner at a time.

With --demo there is traffic to look at: a small service, three interceptors and
a client of two tenants run as processes of their own and end with docket. The
api and flight then answer this machine without a token.

SIGINT and SIGTERM stop docket cleanly: the proxy sees the calls under way to
their end, and everything that was recorded is stored before docket ends; while NATS
or the store do not answer it ends all the same, and says so. A kill
loses nothing that a caller was answered for either; the next start stores what
is still in the WAL. SIGHUP reads the chain of the configuration anew, as
` + "`docket chain reload`" + ` does; one that is refused leaves the old one in force.`

func upCommand(s *settings) *cobra.Command {
	var o upOptions
	var level string
	c := &cobra.Command{
		Use:   "up",
		Short: "Run broker, collector, lake, API and proxy in one process",
		Long:  upLong,
		Example: `  docket up --demo                          with demo traffic; ^C stops it
  docket up --demo --for 20s                and stop by itself
  docket up --config docket.toml --data /var/lib/docket
  docket up --config docket.toml --store clickhouse://docket@127.0.0.1:9000/docket`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := telemetry.Logger(c.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			switch {
			case o.demo && o.config != "":
				return cli.Usage(cli.Hint(errors.New("--demo and --config exclude each other"), "the demo has a chain of its own; leave --config out and give single settings with --set, as in --demo --set ocsf.version=1.9.0"))
			case !o.demo && o.config == "":
				return cli.Usage(cli.Hint(errors.New("nothing to run"), "give a configuration with --config FILE (`docket init` writes one), or see it work with --demo"))
			}
			store, err := storeURL("--store", o.store, "")
			if err != nil {
				return err
			}
			if store != "" {
				o.set = append(o.set, "store.url="+store)
			}
			o.data, o.log, o.stdout, o.stderr = s.data, log, c.OutOrStdout(), c.ErrOrStderr()
			return up(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", os.Getenv("DOCKET_CONFIG"), "configuration file (DOCKET_CONFIG)")
	f.StringVar(&o.store, "store", "", "keep events in this database of ClickHouse, as clickhouse://USER@HOST:9000/DATABASE, not in the lake (DOCKET_STORE)")
	f.BoolVar(&o.demo, "demo", false, "with a demo service, interceptors and traffic")
	f.BoolVar(&o.may.AdoptLedger, "adopt-ledger", false, "begin the ledger anew where it is gone or contradicts what is stored; the old one is set aside and a finding says so")
	f.BoolVar(&o.may.ShortenRetention, "shorten-retention", false, "with --store, let the configuration delete events earlier than the database did so far")
	duration.Var(f, &o.limit, "for", 0, "stop when all has run for this long, such as 20s")
	f.StringArrayVar(&o.set, "set", nil, "set a configuration key, as in --set api.listen=127.0.0.1:8081 (DOCKET_TABLE_KEY)")
	f.StringVar(&level, "log", "warn", "log level: debug, info, warn, error")
	return c
}

// up runs a daemon until ctx ends or a part of it fails.
func up(ctx context.Context, o upOptions) error {
	// Before anything starts: the signal's own meaning is to die.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	if os.Getenv("GOMEMLIMIT") == "" {
		defer softlimit.Hold(softlimit.Default)()
	}
	d, err := start(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it started
		}
		return err
	}
	if o.limit > 0 {
		// From here on: how long the start takes depends on the machine.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.limit)
		defer cancel()
	}
	d.banner()
	sentences := d.group.Go("sentences", d.sentences)
	failed := d.wait(ctx, hup)
	fmt.Fprintln(o.stderr, "docket: stopping")
	failed = errors.Join(failed, sentences.Stop())
	// However long it takes to store what is there, it is bounded: what is not
	// stored by then is in the WAL and stored by the next start.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return errors.Join(failed, d.stop(stopping))
}

const stopLimit = 30 * time.Second

// storeURL returns where a store is that is not in the directory: what a flag says,
// else DOCKET_STORE, which is not the flag's default, since help would print it. It
// has the password that a file has.
func storeURL(flag, given, passwordFile string) (string, error) {
	url := config.DSN(given)
	if url == "" {
		flag, url = "DOCKET_STORE", config.DSN(os.Getenv("DOCKET_STORE"))
	}
	if url == "" {
		return "", nil
	}
	if err := config.CheckStore(flag, url, passwordFile != ""); err != nil {
		if given != "" {
			err = cli.Usage(err)
		}
		return "", err
	}
	full, err := url.WithPasswordOf(passwordFile)
	return string(full), err
}

// loadConfig reads the file with what the environment and flags say over it.
func loadConfig(file string, set []string) (*config.Config, error) {
	return config.Load(file, os.Environ(), set)
}
