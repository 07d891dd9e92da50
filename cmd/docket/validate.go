// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// validateOptions are what the flags of validate say.
type validateOptions struct {
	schema string // a version, or schemaAuto
	mode   string
	format string
	limit  int
	ocsf   ocsf.ValidateOptions
}

// schemaAuto stands for the version that each event names.
const schemaAuto = "auto"

func validateCommand() *cobra.Command {
	var o validateOptions
	c := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check OCSF events against the schema",
		Long: `Check OCSF events of any producer against the schema. FILE holds events as JSON:
one, an array, one a line, one behind the other, or bundles {"events": [...]};
with or without gzip. FILE of "-" is standard input. Files are streamed, so that
they may be larger than the memory; one event may have 16 MiB.

Mode server applies the rules of the official OCSF server, one for one, so that
verdicts can be compared. Mode strict corrects those of them that are known to be
wrong. --schema auto judges each event by the version that it names.

The table lists events with errors or warnings. ndjson has a row for each event:
file, index (from 0), class_uid (null if there is none), valid, errors and warnings,
each with code, path and message; line, uid (metadata.uid, if there is one) and
schema, the version that it was judged by. What could not be read, or not be judged, is a row with "error"
instead; what is around the events of a bundle has a row with "bundle" when there
is something to say about it.

The exit code is 0 when all events are valid, 3 when some are not, 1 when
something could not be read, and all the rest is judged all the same; 1 also when
there is no event at all, and after an interrupt, which ends with the totals of
what was judged until then.`,
		Example: `  docket validate events.ndjson
  docket validate --schema 1.9.0 --mode strict export/*.json.gz
  docket validate --schema auto -o ndjson - < events.json | jq 'select(.valid == false)'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			return o.run(c.Context(), args, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.schema, "schema", schema.Default, "version of the schema: "+strings.Join(schema.Versions(), ", ")+", or auto")
	f.StringVar(&o.mode, "mode", string(ocsf.ModeServer), "rules: server, strict")
	f.BoolVar(&o.ocsf.MissingRecommended, "missing-recommended", false, "also warn of recommended attributes that are missing")
	f.IntVar(&o.limit, "limit", 50, "how many events of a kind, and issues of an event, the table lists; 0: all")
	f.StringVarP(&o.format, "output", "o", "", "format: table, ndjson (default: table on a terminal, else ndjson)")
	return c
}

func (o *validateOptions) check(files []string) error {
	if versions := append(schema.Versions(), schemaAuto); !slices.Contains(versions, o.schema) {
		return cli.Usage(cli.Hint(fmt.Errorf("--schema %s: there is no such version", o.schema), "use one of %s", strings.Join(versions, ", ")))
	}
	if mode := ocsf.Mode(o.mode); mode != ocsf.ModeServer && mode != ocsf.ModeStrict {
		return cli.Usage(cli.Hint(fmt.Errorf("--mode %s: there is no such mode", o.mode), "use %s or %s", ocsf.ModeServer, ocsf.ModeStrict))
	}
	if o.format != "" && o.format != cli.Table && o.format != cli.NDJSON {
		return cli.Usage(cli.Hint(fmt.Errorf("validate has no output format %q", o.format), "use table or ndjson"))
	}
	if o.limit < 0 {
		return cli.Usage(cli.Hint(fmt.Errorf("--limit %d: not a number of events", o.limit), "give 1 or more; --limit 0 lists all"))
	}
	stdin := slices.Index(files, eventfile.Stdin)
	if stdin >= 0 && slices.Contains(files[stdin+1:], eventfile.Stdin) {
		return cli.Usagef("standard input can be read once only")
	}
	return nil
}

// run validates files and reports to stdout.
func (o *validateOptions) run(ctx context.Context, files []string, stdin io.Reader, stdout, stderr io.Writer) error {
	p, err := cli.NewPrinter(stdout, o.format, nil, false)
	if err != nil {
		return err
	}
	judge, err := newJudge(o)
	if err != nil {
		return err
	}
	s := &validateStream{files: files, stdin: stdin, judge: judge, bar: &cli.Progress{}}
	if s.size = sizeOf(files); s.size > 0 {
		s.bar = cli.NewProgress(stderr, "validating", cli.UnitBytes)
		defer s.bar.Done()
	}
	out := &validateReport{o: o, files: len(files), printer: p}
	if cli.IsTerminal(stdout) {
		out.before = s.bar.Done // two writers on one terminal
		out.seen = p.Format == cli.Table
	}
	err = s.run(ctx, out)
	if out.interrupted = errors.Is(err, context.Canceled); err == nil || out.interrupted {
		s.bar.Done()
		err = out.close()
	}
	switch {
	case cli.ReaderGone(err):
		return cmp.Or(out.verdict(), err) // what is known by now stays true
	case err != nil:
		return err
	case out.interrupted:
		return fmt.Errorf("interrupted: %s judged, the rest was not", number(out.events, "event"))
	}
	return cmp.Or(out.verdict(), out.nothing(files))
}

// sizeOf returns how many bytes files have, 0 when that cannot be said before.
func sizeOf(files []string) (n int64) {
	for _, name := range files {
		info, err := os.Stat(name)
		switch {
		case name == eventfile.Stdin, err == nil && !info.Mode().IsRegular():
			return 0
		case err == nil:
			n += info.Size()
		}
	}
	return n
}

// verdict is the error that says how it went: 1 wins over 3, for what could not
// be read may be worse. A table on a terminal has said already what that was.
func (r *validateReport) verdict() error {
	switch {
	case r.unreadable > 0 && r.seen:
		return cli.Code(cli.ExitFailure)
	case r.unreadable > 1:
		return fmt.Errorf("%w; and %d more that could not be read or judged", r.first, r.unreadable-1)
	case r.unreadable == 1:
		return r.first
	case r.invalid+r.invalidBundles > 0:
		return cli.Code(cli.ExitFound)
	}
	return nil
}

// nothing is the error of input that holds no event: a pipeline whose beginning
// failed looks like that, and must not pass for one in which all is well.
func (r *validateReport) nothing(files []string) error {
	switch {
	case r.events+r.bundles > 0:
		return nil
	case len(files) > 1:
		return cli.Hint(fmt.Errorf("no events in %d files", len(files)), "nothing was validated: name files that hold events")
	case files[0] == eventfile.Stdin:
		return cli.Hint(errors.New("no events in -"), "nothing was validated: see whether the command before the pipe failed")
	}
	return cli.Hint(fmt.Errorf("no events in %s", files[0]), "nothing was validated: name a file that holds events")
}

// hintOf returns the advice that err carries.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
