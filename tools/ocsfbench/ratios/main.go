// SPDX-License-Identifier: Apache-2.0

// Ratios reads the output of go test -bench, of one round or of several one behind
// the other, and prints a Markdown table: for each benchmark the median time of all
// rounds, and how many times that of ocsf it is. Below is what it was measured on.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
}

// A row is one benchmark, such as Encode/goccy.
type row struct {
	name   string
	times  []float64 // ns per operation
	allocs string
}

func (r *row) median() float64 {
	slices.Sort(r.times)
	return r.times[len(r.times)/2]
}

func run(in io.Reader, out io.Writer) error {
	var rows []*row
	var cpu, procs string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "cpu: "); ok {
			cpu = text
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name, procs = name[:i], name[i+1:]
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		at := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if at < 0 {
			at = len(rows)
			rows = append(rows, &row{name: name})
		}
		rows[at].times = append(rows[at].times, ns)
		if n := len(fields); fields[n-1] == "allocs/op" {
			rows[at].allocs = fields[n-2]
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read benchmarks: %w", err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("there is no benchmark in the input")
	}
	fmt.Fprintf(out, "| operation | who | median | allocations | times ocsf |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		operation, who, _ := strings.Cut(r.name, "/")
		if who == "" {
			who = "ocsf"
		}
		ratio := "1"
		if own := slices.IndexFunc(rows, func(o *row) bool { return o.name == operation+"/ocsf" }); own >= 0 {
			ratio = fmt.Sprintf("%.1f", r.median()/rows[own].median())
		}
		fmt.Fprintf(out, "| %s | %s | %.2f us | %s | %s |\n", operation, who, r.median()/1000, r.allocs, ratio)
	}
	fmt.Fprintf(out, "\n%s\n", measured(rows, cpu, procs))
	return nil
}

// measured says on what, and how often. The Go version is that of this program,
// which is built together with the benchmarks.
func measured(rows []*row, cpu, procs string) string {
	rounds := len(rows[0].times)
	for _, r := range rows {
		rounds = min(rounds, len(r.times))
	}
	parts := []string{runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if cpu != "" {
		parts = append(parts, cpu)
	}
	if procs == "" {
		procs = "1" // then go test leaves it out
	}
	return fmt.Sprintf("%s; GOMAXPROCS %s; rounds: %d", strings.Join(parts, "; "), procs, rounds)
}
