// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

func quarantineCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "quarantine",
		Short: "Look at messages that could not be stored as events",
		Long: `Look at messages that could not be stored as events: forged, cut off, of another
emitter's epoch, or of a schema that was not known yet. They are kept as they came,
with the reason, and are part of what docket verify checks.`,
		Example: "  docket quarantine ls\n  docket quarantine requeue --all",
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(quarantineLsCommand(s), quarantineShowCommand(s), quarantineRequeueCommand(s))
	return c
}

// A heldLine is a row of -o ndjson. New members may be added, none may go.
type heldLine struct {
	ID         string `json:"id"`
	StoredTime int64  `json:"stored_time"` // ms
	StreamSeq  uint64 `json:"stream_seq"`
	Subject    string `json:"subject"`
	Epoch      string `json:"epoch"` // what it claims; "" when that is not believed
	Sequence   int64  `json:"sequence"`
	Bytes      int    `json:"bytes"`
	Reason     string `json:"reason"`
	Requeued   string `json:"requeued,omitempty"` // the ID that it is a copy of
}

func heldLineOf(h *store.Held) heldLine {
	l := heldLine{h.ID, h.StoredTime.UnixMilli(), h.StreamSeq, h.Subject, h.Epoch, h.Sequence, len(h.Data), h.Reason, ""}
	if ids := h.Headers[store.HeaderRequeued]; len(ids) == 1 {
		l.Requeued = ids[0]
	}
	return l
}

// openQuarantine reads the directory as it lies, beside an owner or without one:
// what is in quarantine never changes.
func openQuarantine(c *cobra.Command, dir, verb string) (*lake.Reader, error) {
	if err := datadir.Check(dir); err != nil {
		return nil, err
	}
	if err := lakeOnly(dir, verb); err != nil {
		return nil, err
	}
	r, err := lake.OpenReader(filepath.Join(dir, "lake"))
	if err != nil {
		return nil, cli.Hint(err, "name the data directory of a docket that collects")
	}
	if err := r.Damaged(); err != nil {
		fmt.Fprintf(c.ErrOrStderr(), "docket: %s\n", cli.Escape(err.Error()))
	}
	return r, nil
}

func quarantineLsCommand(s *settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "ls",
		Short: "List what is in quarantine, oldest first",
		Long: `List what is in quarantine, oldest first: its ID, when it was put there, its place on
the stream, its subject, the epoch and sequence that it claims, as far as that is
believed, and why it is no event.`,
		Example: "  docket quarantine ls\n  docket quarantine ls -o ndjson | jq -r 'select(.reason | test(\"too far ahead\")) | .id'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := openQuarantine(c, s.data, "quarantine ls")
			if err != nil {
				return err
			}
			defer r.Close()
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"id", "stored", "stream_seq", "subject", "epoch", "sequence", "bytes", "reason"}, false)
			if err != nil {
				return err
			}
			for h, err := range r.Quarantined(c.Context()) {
				if err != nil {
					return err
				}
				l := heldLineOf(&h)
				b, err := json.Marshal(l)
				if err != nil {
					return err
				}
				sequence := ""
				if l.Epoch != "" {
					sequence = strconv.FormatInt(l.Sequence, 10)
				}
				cells := []string{l.ID, h.StoredTime.Local().Format(time.DateTime), strconv.FormatUint(l.StreamSeq, 10), l.Subject, l.Epoch, sequence, strconv.Itoa(l.Bytes), l.Reason}
				csv := slices.Clone(cells)
				csv[1] = csvTime(l.StoredTime)
				if err := p.Row(cli.Row{Cells: cells, CSV: csv, JSON: b}); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	cli.OutputFlag(c.Flags(), &format)
	return c
}

// raw is the output format that is the message's bytes and nothing else.
const rawFormat = "raw"

func quarantineShowCommand(s *settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show a message in quarantine",
		Long: `Show a message in quarantine: its headers and its bytes. What a terminal would act on
is shown as an escape; in JSON the bytes are in base64; raw is the bytes alone, as
they are, for a file or a program.`,
		Example: "  docket quarantine show 01a1fbbd-b45d-7d1f-9c0e-1f2a3b4c5d6e.1\n  docket quarantine show -o raw 01a1fbbd-b45d-7d1f-9c0e-1f2a3b4c5d6e.1 | docket validate -",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "" && format != cli.Table && format != cli.JSON && format != rawFormat {
				return cli.Usage(cli.Hint(fmt.Errorf("quarantine show has no output format %q", format), "use table, json or raw"))
			}
			r, err := openQuarantine(c, s.data, "quarantine show")
			if err != nil {
				return err
			}
			defer r.Close()
			h, err := findHeld(c.Context(), r, args[0])
			if err != nil {
				return err
			}
			switch format {
			case rawFormat:
				_, err = c.OutOrStdout().Write(h.Data)
			case cli.JSON:
				err = cli.PrintJSON(c.OutOrStdout(), struct {
					heldLine
					Headers map[string][]string `json:"headers"`
					Data    []byte              `json:"data"`
				}{heldLineOf(h), h.Headers, h.Data})
			default:
				err = writeHeld(c.OutOrStdout(), h)
			}
			return err
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "", "format: table, json, raw (default table)")
	return c
}

func findHeld(ctx context.Context, r *lake.Reader, id string) (*store.Held, error) {
	for h, err := range r.Quarantined(ctx) {
		if err != nil {
			return nil, err
		}
		if h.ID == id {
			return &h, nil
		}
	}
	return nil, cli.Hint(fmt.Errorf("%q is not in quarantine", id), "docket quarantine ls lists what is")
}

// writeHeld writes a message for people. Each piece of it is a stranger's.
func writeHeld(w io.Writer, h *store.Held) error {
	p, err := cli.NewPrinter(w, cli.Table, nil, false)
	if err != nil {
		return err
	}
	rows := [][2]string{{"id", h.ID}, {"stored", h.StoredTime.Local().Format(time.DateTime)}, {"stream_seq", strconv.FormatUint(h.StreamSeq, 10)}, {"subject", h.Subject}, {"reason", h.Reason}}
	if h.Epoch != "" {
		rows = append(rows, [2]string{"claims", fmt.Sprintf("sequence %d of epoch %s", h.Sequence, h.Epoch)})
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		for _, value := range h.Headers[name] {
			rows = append(rows, [2]string{"header", name + ": " + value})
		}
	}
	rows = append(rows, [2]string{"data", fmt.Sprintf("%d bytes", len(h.Data))})
	for _, row := range rows {
		if err := p.Row(cli.Row{Cells: row[:]}); err != nil {
			return err
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, cli.Escape(string(h.Data)))
	return err
}
