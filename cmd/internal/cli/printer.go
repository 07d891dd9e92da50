// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
)

// The formats of -o.
const (
	Table  = "table"
	JSON   = "json"
	NDJSON = "ndjson"
	CSV    = "csv"
	Short  = "short"
)

// The formats of -o that only some verbs have.
const (
	Wide    = "wide"    // a table of more columns
	Parquet = "parquet" // a file of typed columns, never to a terminal
)

var formats = []string{Table, JSON, NDJSON, CSV, Short}

// OutputFlag adds -o to a verb's flags; more are the formats that the verb has
// beside those that all have.
func OutputFlag(f *pflag.FlagSet, format *string, more ...string) {
	f.StringVarP(format, "output", "o", "", "format: "+strings.Join(slices.Concat(formats, more), ", ")+" (default: table on a terminal, else ndjson)")
}

// A Row is one thing to print. Cells go to table, csv and short, in the order
// of the printer's columns; CSV, if there is any, to csv in their place, for
// cells that are cut or padded for eyes; JSON, one object in one line, to json
// and ndjson; Short, if not empty, to short instead of the cells. Below are
// lines under the row in table and short. Colour paints the last cell, or the
// short line, where colours are wanted. Wide are the cells of the wide table.
type Row struct {
	Cells  []string
	Wide   []string
	CSV    []string
	JSON   []byte
	Short  string
	Below  []string
	Colour Colour
}

// A RowWriter writes rows in a format of its own.
type RowWriter interface {
	Row(r Row) error
	Close() error
}

// A Printer writes rows in one format. Close it to see everything.
type Printer struct {
	Format  string
	out     *bufio.Writer
	tab     *tabwriter.Writer
	csv     *csv.Writer
	other   RowWriter // of Options.Formats; it writes to out
	rows    int64
	live    bool
	tty     bool // nothing unescaped may pass
	colours bool
}

// Options are what a Printer prints, and how.
type Options struct {
	Format  string   // "" is the default: a table on a terminal, else ndjson
	Columns []string // heads of the cells
	Wide    []string // heads of the wide cells; nil: there is no wide table
	// Live shows each row at once, which a table pays for with columns that do not
	// know what is still to come.
	Live bool
	// Formats are those that this verb has beside those that all have.
	Formats map[string]func(io.Writer) (RowWriter, error)
}

// NewPrinter returns a Printer of rows with the given columns. An empty format
// is the default for w.
func NewPrinter(w io.Writer, format string, columns []string, live bool) (*Printer, error) {
	return Print(w, Options{Format: format, Columns: columns, Live: live})
}

// Print returns a Printer on w.
func Print(w io.Writer, o Options) (*Printer, error) {
	if o.Format == "" {
		o.Format = NDJSON
		if IsTerminal(w) {
			o.Format = Table
		}
	}
	if err := o.known(); err != nil {
		return nil, err
	}
	if o.Format == Parquet && IsTerminal(w) {
		return nil, Usage(Hint(errors.New("parquet is not for a terminal"), "put `> FILE.parquet` behind it"))
	}
	p := &Printer{Format: o.Format, out: bufio.NewWriterSize(w, 64<<10), live: o.Live, tty: IsTerminal(w), colours: Colours(w)}
	switch o.Format {
	case Table:
		return p, p.table(o.Columns)
	case Wide:
		return p, p.table(o.Wide)
	case CSV:
		p.csv = csv.NewWriter(p.out)
		if len(o.Columns) > 0 {
			if err := p.csv.Write(o.Columns); err != nil {
				return nil, err
			}
		}
	}
	if open := o.Formats[o.Format]; open != nil {
		var err error
		if p.other, err = open(p.out); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (o *Options) known() error {
	all := slices.Clone(formats)
	if o.Wide != nil {
		all = append(all, Wide)
	}
	all = append(all, slices.Sorted(maps.Keys(o.Formats))...)
	if slices.Contains(all, o.Format) {
		return nil
	}
	return Usage(Hint(fmt.Errorf("unknown output format %q", o.Format), "use one of %s", strings.Join(all, ", ")))
}

func (p *Printer) table(columns []string) error {
	p.tab = tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	if len(columns) == 0 {
		return nil
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = strings.ToUpper(Escape(c))
	}
	_, err := fmt.Fprintln(p.tab, strings.Join(heads, "\t"))
	return err
}

// Rows returns how many rows were printed.
func (p *Printer) Rows() int64 { return p.rows }

// Row prints one row.
func (p *Printer) Row(r Row) error {
	var err error
	switch p.Format {
	case Table:
		err = p.tableRow(r.Cells, r)
	case Wide:
		err = p.tableRow(r.Wide, r)
	case CSV:
		// CSV is data for programs, quoted by its own rules; ours are for eyes.
		cells := r.Cells
		if r.CSV != nil {
			cells = r.CSV
		}
		if p.tty {
			cells = escapeAll(cells)
		}
		err = p.csv.Write(cells)
	case NDJSON:
		_, err = p.out.WriteString(p.json(r) + "\n")
	case JSON:
		lead := ",\n"
		if p.rows == 0 {
			lead = "[\n"
		}
		_, err = p.out.WriteString(lead + p.json(r))
	case Short:
		line := Escape(r.Short)
		if r.Short == "" {
			line = strings.Join(escapeAll(r.Cells), "\t")
		}
		_, err = p.out.WriteString(p.paint(line, r.Colour) + "\n")
		for _, line := range r.Below {
			p.out.WriteString(Escape(line) + "\n") // its error is that of the next flush
		}
	default:
		err = p.other.Row(r)
	}
	p.rows++
	if err == nil && p.live {
		err = p.Flush()
	}
	return err
}

func (p *Printer) tableRow(cells []string, r Row) error {
	cells = escapeAll(cells)
	if n := len(cells); n > 0 {
		cells[n-1] = p.paint(cells[n-1], r.Colour) // no column is measured by it
	}
	_, err := fmt.Fprintln(p.tab, strings.Join(cells, "\t"))
	for _, line := range r.Below {
		fmt.Fprintln(p.tab, Escape(line)) // its error is that of the next flush
	}
	return err
}

// Note prints a line that is no row, where people read: in table, wide and short
// among the rows, and otherwise to stderr, since it is no data.
func (p *Printer) Note(stderr io.Writer, line string) error {
	var err error
	switch p.Format {
	case Table, Wide:
		_, err = fmt.Fprintln(p.tab, Escape(line))
	case Short:
		_, err = p.out.WriteString(Escape(line) + "\n")
	default:
		_, err = fmt.Fprintln(stderr, Escape(line))
	}
	if err == nil && p.live {
		err = p.Flush()
	}
	return err
}

// json returns the row's exact bytes, or, for a terminal, an equal JSON value
// that holds nothing the terminal would act on.
func (p *Printer) json(r Row) string {
	if p.tty {
		return EscapeJSON(string(r.JSON))
	}
	return string(r.JSON)
}

// Flush writes what is buffered.
func (p *Printer) Flush() error {
	if p.tab != nil {
		if err := p.tab.Flush(); err != nil {
			return err
		}
	}
	if p.csv != nil {
		p.csv.Flush()
		if err := p.csv.Error(); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

// Close ends the document and writes what is buffered.
func (p *Printer) Close() error {
	if p.Format == JSON {
		end := "\n]\n"
		if p.rows == 0 {
			end = "[]\n"
		}
		if _, err := p.out.WriteString(end); err != nil {
			return err
		}
	}
	if p.other != nil {
		if err := p.other.Close(); err != nil {
			return err
		}
	}
	return p.Flush()
}

// PrintJSON writes v as one indented JSON object.
func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func escapeAll(cells []string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = Escape(c)
	}
	return out
}
