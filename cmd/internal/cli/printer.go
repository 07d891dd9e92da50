// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// The formats of -o.
const (
	Table  = "table"
	JSON   = "json"
	NDJSON = "ndjson"
	CSV    = "csv"
	Short  = "short"
)

var formats = []string{Table, JSON, NDJSON, CSV, Short}

// OutputFlag adds -o to a verb's flags.
func OutputFlag(f *pflag.FlagSet, format *string) {
	f.StringVarP(format, "output", "o", "", "format: "+strings.Join(formats, ", ")+" (default: table on a terminal, else ndjson)")
}

// A Row is one thing to print. Cells go to table, csv and short, in the order
// of the printer's columns; CSV, if there is any, to csv in their place, for
// cells that are cut or padded for eyes; JSON, one object in one line, to json
// and ndjson; Short, if not empty, to short instead of the cells. Below are
// lines under the row in table and short. Colour paints the last cell, or the
// short line, where colours are wanted.
type Row struct {
	Cells  []string
	CSV    []string
	JSON   []byte
	Short  string
	Below  []string
	Colour Colour
}

// A Colour is the number of an SGR sequence; zero is none.
type Colour int

// The colours.
const (
	Red    Colour = 31
	Yellow Colour = 33
	Cyan   Colour = 36
)

func (p *Printer) paint(s string, c Colour) string {
	if c == 0 || !p.colours {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, s)
}

// A Printer writes rows in one format. Close it to see everything.
type Printer struct {
	Format  string
	columns []string
	out     *bufio.Writer
	tab     *tabwriter.Writer
	csv     *csv.Writer
	rows    int
	live    bool
	tty     bool // nothing unescaped may pass
	colours bool
}

// NewPrinter returns a Printer of rows with the given columns. An empty format
// is the default for w. A live printer shows each row at once, which a table
// pays for with columns that do not know what is still to come.
func NewPrinter(w io.Writer, format string, columns []string, live bool) (*Printer, error) {
	if format == "" {
		format = NDJSON
		if IsTerminal(w) {
			format = Table
		}
	}
	if !slices.Contains(formats, format) {
		return nil, Usage(Hint(fmt.Errorf("unknown output format %q", format), "use one of %s", strings.Join(formats, ", ")))
	}
	p := &Printer{Format: format, columns: columns, out: bufio.NewWriterSize(w, 64<<10), live: live, tty: IsTerminal(w), colours: Colours(w)}
	switch format {
	case Table:
		p.tab = tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
		if len(columns) > 0 {
			heads := make([]string, len(columns))
			for i, c := range columns {
				heads[i] = strings.ToUpper(Escape(c))
			}
			fmt.Fprintln(p.tab, strings.Join(heads, "\t"))
		}
	case CSV:
		p.csv = csv.NewWriter(p.out)
		if len(columns) > 0 {
			if err := p.csv.Write(columns); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// Row prints one row.
func (p *Printer) Row(r Row) error {
	var err error
	switch p.Format {
	case Table:
		cells := escapeAll(r.Cells)
		if n := len(cells); n > 0 {
			cells[n-1] = p.paint(cells[n-1], r.Colour) // no column is measured by it
		}
		_, err = fmt.Fprintln(p.tab, strings.Join(cells, "\t"))
		for _, line := range r.Below {
			fmt.Fprintln(p.tab, Escape(line)) // its error is that of the next flush
		}
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
	}
	p.rows++
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

// IsTerminal reports whether w is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colours reports whether w may be written to in colour.
func Colours(w any) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(w)
}
