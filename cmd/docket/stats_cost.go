// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/lake"
)

// A costReport is what docket stats --cost prints. Members may be added.
type costReport struct {
	Costs  []lake.Cost `json:"costs"` // by day, tenant and class
	Events int64       `json:"events"`
	Bytes  int64       `json:"bytes"`
	// Growth is how fast the lake grows, over the last week or since its first
	// commit.
	Growth lake.Growth  `json:"growth"`
	Disk   datadir.Disk `json:"disk"`
	// DaysUntilFull is Disk.Free by Growth; null while that says nothing.
	DaysUntilFull *float64 `json:"days_until_full"`
}

// growthWithin is the time by which growth is judged: whole weeks look alike.
const growthWithin = 7 * 24 * time.Hour

func readCosts(dir string, m *lake.Manifest, now time.Time) (*costReport, error) {
	path := filepath.Join(dir, "lake")
	r := &costReport{}
	var err error
	if r.Costs, err = lake.Costs(path, m); err != nil {
		return nil, err
	}
	for _, c := range r.Costs {
		r.Events, r.Bytes = r.Events+c.Events, r.Bytes+c.Bytes
	}
	if r.Growth, err = lake.GrowthWithin(path, m, growthWithin, now); err != nil {
		return nil, err
	}
	if r.Disk, err = datadir.DiskOf(path); err != nil {
		return nil, err
	}
	if r.Growth.Day > 0 {
		days := float64(r.Disk.Free) / float64(r.Growth.Day)
		r.DaysUntilFull = &days
	}
	return r, nil
}

// printCosts is docket stats --cost.
func printCosts(c *cobra.Command, dir, format string) error {
	if format != "" && format != cli.Table && format != cli.JSON {
		return cli.Usage(cli.Hint(fmt.Errorf("stats --cost has no output format %q", format), "use table or json"))
	}
	if err := datadir.Check(dir); err != nil {
		return err
	}
	if err := lakeOnly(dir, "stats --cost"); err != nil {
		return err
	}
	reader, err := lake.OpenReader(filepath.Join(dir, "lake"))
	if err != nil {
		return err
	}
	defer reader.Close()
	r, err := readCosts(dir, reader.Manifest(), time.Now())
	if err != nil {
		return err
	}
	if format == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), r)
	}
	return r.write(c.OutOrStdout())
}

func (r *costReport) write(w io.Writer) error {
	p, err := cli.NewPrinter(w, cli.Table, []string{"day", "tenant", "class", "events", "bytes", "bytes/event", "estimated"}, false)
	if err != nil {
		return err
	}
	for _, c := range r.Costs {
		row := []string{c.Day, c.Tenant, c.Class, strconv.FormatInt(c.Events, 10), strconv.FormatInt(c.Bytes, 10), strconv.FormatInt(c.Bytes/max(c.Events, 1), 10), ""}
		if c.Estimated > 0 {
			row[6] = fmt.Sprintf("%d %%", 100*c.Estimated/max(c.Bytes, 1))
		}
		if err := p.Row(cli.Row{Cells: row}); err != nil {
			return err
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d events in %s\n%s\n", r.Events, size(r.Bytes), r.outlook())
	return err
}

// outlook says how long there is room.
func (r *costReport) outlook() string {
	free := fmt.Sprintf("%s of %s free", size(r.Disk.Free), size(r.Disk.Total))
	if r.DaysUntilFull == nil {
		return free + "; how fast the lake grows cannot be said yet"
	}
	return fmt.Sprintf("%s, %s more a day: full in %.0f days", free, size(r.Growth.Day), *r.DaysUntilFull)
}

// size writes bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for ; v >= unit && i < 4; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}
