// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/copying"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
)

func copyCommand(s *settings) *cobra.Command {
	var (
		o        offlineVerb
		from, to copyEnd
		format   string
	)
	c := &cobra.Command{
		Use:   "copy --from STORE --to STORE",
		Short: "Copy all events from one store into another",
		Long: `Copy all events, and the messages in quarantine, from one store into another. A
store is a data directory, or tables of ClickHouse, clickhouse://USER@HOST:9000/DATABASE
or https://..., whose password is best in a file: who lists processes sees a URL.
Events go byte for byte, with their places on the stream, in the order in which
they were stored. Times of storing and numbers of commits are the destination's own.

Each event is stored exactly once: what the destination has is a duplicate. So a
copy that was stopped or killed is simply made again; it goes on where it was, which
DIR/copies.json says. In the end both stores are read and compared, by the events of
every epoch.

The destination's own ledger signs for what it stores. That of a directory is in it; of
tables it is in --data, which is made if it is not there. A docket that collects
into the destination has to be stopped meanwhile; one that fills the source may run:
what it stores from when the copy begins is left for the next one.

The exit code is 3 when the destination does not have everything in the end, 4 when
the copy was interrupted.`,
		Example: `  docket copy --from docket-data --to clickhouse://docket@db.example:9000/docket --to-password-file ch.password --data docket-tables
  docket copy --from https://docket@db.example:8443/docket --from-password-file ch.password --to restored
  docket copy --from docket-data --to other-data -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("copy has no output format %q", format), "use table or json"))
			}
			if err := checkCopy(&from, &to); err != nil {
				return err
			}
			o.data = s.data
			done, err := o.copyStores(c, from.name, to.name)
			begun := done.From != ""
			switch {
			case format == cli.JSON && begun:
				err = errors.Join(err, cli.PrintJSON(c.OutOrStdout(), done))
			case err != nil:
				return err
			default:
				err = printCopy(c.OutOrStdout(), &done)
			}
			if err == nil && !done.Compared.Whole() {
				err = cli.Code(cli.ExitFound)
			}
			return err
		},
	}
	o.flags(c)
	f := c.Flags()
	from.flags(f, "from", "the store that is copied: a data directory, or a URL of ClickHouse")
	to.flags(f, "to", "the store that it is copied into")
	f.StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

// A copyEnd is one of the two stores of a copy.
type copyEnd struct {
	flag, name   string // name is a directory, or a URL
	passwordFile string
}

func (e *copyEnd) flags(f *pflag.FlagSet, name, usage string) {
	e.flag = "--" + name
	f.StringVar(&e.name, name, "", usage)
	f.StringVar(&e.passwordFile, name+"-password-file", "", "file with the password of the user in "+e.flag)
}

// check says whether it can be a store, and puts the password of the file into its URL.
func (e *copyEnd) check() (err error) {
	switch {
	case e.name == "":
		return cli.Usage(cli.Hint(fmt.Errorf("%s is missing", e.flag), "name a data directory, or a URL such as clickhouse://host:9000/database"))
	case copying.InTables(e.name):
		e.name, err = storeURL(e.flag, e.name, e.passwordFile)
		return err
	case e.passwordFile != "":
		return cli.Usagef("%s-password-file is for a %s that is a URL of ClickHouse", e.flag, e.flag)
	}
	return nil
}

func checkCopy(a, b *copyEnd) error {
	for _, end := range []*copyEnd{a, b} {
		if err := end.check(); err != nil {
			return err
		}
	}
	from, to := a.name, b.name
	same := from == to
	if !copying.InTables(from) && !copying.InTables(to) {
		a, err := filepath.Abs(from)
		if err != nil {
			return fmt.Errorf("copy from %s: %w", from, err)
		}
		b, err := filepath.Abs(to)
		if err != nil {
			return fmt.Errorf("copy to %s: %w", to, err)
		}
		same = a == b
		if i, err := os.Stat(a); err == nil {
			if j, err := os.Stat(b); err == nil {
				same = same || os.SameFile(i, j)
			}
		}
	}
	if same {
		return cli.Usagef("--from and --to are the same store")
	}
	return nil
}

func (o *offlineVerb) copyStores(c *cobra.Command, from, to string) (done copying.Summary, err error) {
	log, err := telemetry.Logger(c.ErrOrStderr(), "warn")
	if err != nil {
		return done, err
	}
	cfg, err := loadConfig(o.config, o.set)
	if err != nil {
		return done, err
	}
	source, err := copying.OpenSource(c.Context(), from)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	destination, err := copying.OpenDestination(c.Context(), to, o.data, cfg, log)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, destination.Close(context.WithoutCancel(c.Context()))) }()
	bar := cli.NewProgress(c.ErrOrStderr(), "copying", cli.UnitCount)
	defer bar.Done()
	done, err = copying.Run(c.Context(), source, destination, copying.Options{Progress: bar.Set})
	return done, unfinished(c.Context(), &done, err)
}

// unfinished says how a copy ends that has failed, or was interrupted.
func unfinished(ctx context.Context, done *copying.Summary, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, copying.ErrDamaged) {
		err = &cli.Exit{Code: cli.ExitPartial, Err: fmt.Errorf("interrupted, before the stores were compared: copied %d events and %d messages in quarantine; %d were there",
			done.Events, done.Quarantined, done.Duplicates)}
	}
	return cli.Hint(err, "make the same copy again: it goes on where it was")
}

func printCopy(w io.Writer, done *copying.Summary) error {
	c := done.Compared
	fmt.Fprintf(w, "copied %d events and %d messages in quarantine; %d were there\n", done.Events, done.Quarantined, done.Duplicates)
	if done.Passed > 0 {
		fmt.Fprintf(w, "an earlier copy had come to commit %d of %d\n", done.Passed, done.Through)
	}
	if done.Conflicts > 0 {
		fmt.Fprintf(w, "%d have the place of another event: both are kept, and docket verify names them\n", done.Conflicts)
	}
	if done.Left > 0 {
		fmt.Fprintf(w, "%d events had left the source, by retention or because somebody asked: the destination does not know of them\n", done.Left)
	}
	if done.StreamSeqBefore > 0 && done.StreamSeq > done.StreamSeqBefore {
		fmt.Fprintf(w, "of the stream, the destination counts as having everything up to %d, before up to %d: if it is filled from another stream than the source, have it collect from a new one\n", done.StreamSeq, done.StreamSeqBefore)
	}
	if c.Left > 0 {
		fmt.Fprintf(w, "%d events have left the destination since\n", c.Left)
	}
	for _, uid := range slices.Sorted(maps.Keys(c.Missing)) {
		fmt.Fprintf(w, "missing: epoch %s: %d events, the first is sequence %d\n", cli.EscapeText(uid), c.Missing[uid].Count(), c.Missing[uid][0].First)
	}
	if c.MissingQuarantined > 0 {
		fmt.Fprintf(w, "missing: %d messages in quarantine\n", c.MissingQuarantined)
	}
	verdict := "the destination has everything"
	if !c.Whole() {
		verdict = "the destination does not have everything"
	}
	_, err := fmt.Fprintf(w, "compared %d events of %d epochs by fingerprint, and %d messages: %s; %d epochs are equal, %d have more there\n",
		c.Events, c.Epochs, c.Quarantined, verdict, c.Equal, c.Epochs-c.Equal-len(c.Missing))
	return err
}
