// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// exportFlags are what export is asked.
type exportFlags struct {
	to, format string
	force      bool
	filter     *eventFilter
	span       *span
}

var exportFormats = []string{cli.NDJSON, cli.CSV, cli.Parquet}

func exportCommand(s *settings) *cobra.Command {
	var o exportFlags
	c := &cobra.Command{
		Use:   "export --to FILE",
		Short: "Write stored events to a file",
		Long: `Write stored events to a file, in the order in which they were stored: ndjson, the
events as they are, byte for byte; parquet, the columns of an event with their types,
and the exact bytes in _raw; csv, the same columns without the bytes. The file's name
says which, or -o.

The file is there when it is whole: it is written beside its place and renamed at the
end, for its owner alone to read. Another one is left as it is without --force.

` + filterHelp,
		Example: `  docket export --to march.ndjson --since 2026-03-01 --until 2026-04-01
  docket export --to denied.parquet --kind outcome --decision deny
  docket export --to acme.csv --tenant acme --force`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "the file")
	f.StringVarP(&o.format, "output", "o", "", "format: "+strings.Join(exportFormats, ", ")+" (default: what the file's name ends in)")
	f.BoolVar(&o.force, "force", false, "in the place of a file that is there")
	o.span = newSpan(f)
	o.filter = newEventFilter(f)
	return c
}

func (o *exportFlags) run(c *cobra.Command, s *settings) error {
	if o.to == "" {
		return cli.Usage(cli.Hint(errors.New("export to where"), "give a file with --to FILE; `docket search --all` prints events"))
	}
	if o.format == "" {
		o.format = strings.TrimPrefix(strings.ToLower(filepath.Ext(o.to)), ".")
		if o.format == "jsonl" {
			o.format = cli.NDJSON
		}
		if !slices.Contains(exportFormats, o.format) {
			return cli.Usage(cli.Hint(fmt.Errorf("%s does not say which format it is to have", o.to), "end it in .ndjson, .csv or .parquet, or say -o"))
		}
	}
	if !slices.Contains(exportFormats, o.format) {
		return cli.Usage(cli.Hint(fmt.Errorf("export has no output format %q", o.format), "use one of %s", strings.Join(exportFormats, ", ")))
	}
	expression, done, err := o.filter.asked(c, o.span)
	if err != nil || done {
		return err
	}
	if _, err := os.Lstat(o.to); err == nil && !o.force {
		return o.there()
	}
	client, err := s.open(c)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &auditv1.SearchEventsRequest{Filter: expression, Tenants: o.filter.tenants()}
	r.Since, r.Until = o.span.stamps()
	return o.export(c, client, r)
}

func (o *exportFlags) there() error {
	return cli.Usage(cli.Hint(fmt.Errorf("%s is there already", o.to), "--force writes over it"))
}

// export writes beside the file's place, and puts it there.
func (o *exportFlags) export(c *cobra.Command, client *reading.Client, r *auditv1.SearchEventsRequest) (err error) {
	f, err := os.CreateTemp(filepath.Dir(o.to), "."+filepath.Base(o.to)+".part-*")
	if err != nil {
		return fmt.Errorf("export to %s: %w", o.to, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoring(f.Close(), os.ErrClosed), ignoring(os.Remove(f.Name()), fs.ErrNotExist))
		}
	}()
	n, err := o.write(c, client, r, f)
	if err != nil {
		return err
	}
	if c.Context().Err() != nil {
		return fmt.Errorf("interrupted after %s; %s was not written", cli.Count(n, "event"), o.to)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("export to %s: %w", o.to, err)
	}
	if err := o.place(f.Name()); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s in %s\n", cli.Count(n, "event"), o.to)
	return nil
}

// place puts the file where it shall be; without --force not over one that has
// come there since.
func (o *exportFlags) place(written string) error {
	if !o.force {
		err := os.Link(written, o.to)
		if errors.Is(err, fs.ErrExist) {
			return o.there()
		}
		if err == nil {
			return os.Remove(written)
		}
		// Not every file system has links; then a moment stays between looking and
		// writing.
		if _, err := os.Lstat(o.to); err == nil {
			return o.there()
		}
	}
	if err := os.Rename(written, o.to); err != nil {
		return fmt.Errorf("export to %s: %w", o.to, err)
	}
	return nil
}

func ignoring(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

func (o *exportFlags) write(c *cobra.Command, client *reading.Client, r *auditv1.SearchEventsRequest, f *os.File) (int64, error) {
	bar := cli.NewProgress(c.ErrOrStderr(), "export", cli.UnitCount)
	defer bar.Done()
	var total int64
	if cli.IsTerminal(c.ErrOrStderr()) { // nobody else is shown it, and it takes time
		stats, err := client.Audit.Stats(c.Context(), &auditv1.StatsRequest{Filter: r.GetFilter(), Tenants: r.GetTenants(), Since: r.GetSince(), Until: r.GetUntil(), Facets: []string{"kind"}})
		if err == nil { // else what there is to export is told without it
			total = stats.GetEvents()
		}
	}
	p, err := cli.Print(f, cli.Options{Format: o.format, Columns: headerColumns(), Formats: eventFormats})
	if err != nil {
		return 0, err
	}
	for raw, err := range client.Search(c.Context(), r, 0) {
		if err == nil {
			err = o.row(p, raw)
		}
		if err != nil {
			return p.Rows(), err
		}
		if n := p.Rows(); n%100 == 0 {
			bar.Set(n, max(total, n))
		}
	}
	return p.Rows(), p.Close()
}

func (o *exportFlags) row(p *cli.Printer, raw []byte) error {
	row := cli.Row{JSON: raw}
	if o.format == cli.CSV {
		h, err := profile.Parse(raw)
		if err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		row.Cells = headerCells(&h)
	}
	return p.Row(row)
}

// headerColumns are the columns of an event, as queries have them.
func headerColumns() []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		names = append(names, f.Tag.Get("json"))
	}
	return names
}

func headerCells(h *profile.Header) []string {
	v := reflect.ValueOf(h).Elem()
	cells := make([]string, v.NumField())
	for i := range cells {
		cells[i] = fmt.Sprint(v.Field(i).Interface())
		if v.Type().Field(i).Name == "Time" {
			cells[i] = csvTime(h.Time)
		}
	}
	return cells
}
