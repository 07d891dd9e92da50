// SPDX-License-Identifier: Apache-2.0

// Ratios reads the output of go test -bench, of one round or of several one behind
// the other, and prints a Markdown table: for each benchmark the median of all rounds
// of the time and of the processor time, which has cpu-ns/op, and how many times
// those of ocsf they are. Below is what it was measured on.
package main

import (
	"bufio"
	"cmp"
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
	cpu    []float64 // the same of all processors
	allocs string
}

// median returns that of values, 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
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
		at := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if at < 0 {
			at = len(rows)
			rows = append(rows, &row{name: name})
		}
		if err := rows[at].add(fields[2:]); err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read benchmarks: %w", err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("there is no benchmark in the input")
	}
	fmt.Fprintf(out, "| operation | who | median | times ocsf | processor time | times ocsf | allocations |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		operation, who, _ := strings.Cut(r.name, "/")
		own := r
		if at := slices.IndexFunc(rows, func(o *row) bool { return o.name == operation+"/ocsf" }); at >= 0 {
			own = rows[at]
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", operation, cmp.Or(who, "ocsf"), compare(r.times, own.times), compare(r.cpu, own.cpu), r.allocs)
	}
	fmt.Fprintf(out, "\n%s\n", measured(rows, cpu, procs))
	return nil
}

// add takes what a line says of r: values, each with its unit.
func (r *row) add(fields []string) error {
	for pair := range slices.Chunk(fields, 2) {
		if len(pair) < 2 {
			break
		}
		value, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return err
		}
		switch pair[1] {
		case "ns/op":
			r.times = append(r.times, value)
		case "cpu-ns/op":
			r.cpu = append(r.cpu, value)
		case "allocs/op":
			r.allocs = pair[0]
		}
	}
	return nil
}

// compare returns two cells, of what was measured and of how many times own it is.
func compare(values, own []float64) string {
	if len(values) == 0 || median(own) == 0 {
		return "|"
	}
	return fmt.Sprintf("%.2f us | %.1f", median(values)/1000, median(values)/median(own))
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
