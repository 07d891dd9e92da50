// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
)

// variants returns a value of JSON with one thing changed in it, in every way that
// there is: each number, text and truth another, each of them away, each list
// shorter, longer, and in another order.
func variants(v any) []any {
	switch v := v.(type) {
	case json.Number:
		return []any{json.Number("4711"), nil}
	case string:
		return []any{v + "x", nil}
	case bool:
		return []any{!v, nil}
	case map[string]any:
		var out []any
		for name, member := range v {
			for _, other := range variants(member) {
				changed := make(map[string]any, len(v))
				for n, m := range v {
					changed[n] = m
				}
				changed[name] = other
				out = append(out, changed)
			}
		}
		return out
	case []any:
		out := []any{v[:len(v)-1], append(slices.Clone(v), v[0])}
		if reversed := slices.Clone(v); len(v) > 1 {
			slices.Reverse(reversed)
			out = append(out, reversed)
		}
		for i := range v {
			for _, other := range variants(v[i]) {
				changed := slices.Clone(v)
				changed[i] = other
				out = append(out, changed)
			}
		}
		return out
	}
	return nil // null: there is nothing to change
}

// rewritten returns the other texts of a cell.
func rewritten(t *testing.T, cell, column string) []string {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(cell)))
	d.UseNumber()
	if cell == "(null)" {
		return nil
	}
	if err := d.Decode(&v); err != nil || d.More() || column == lake.ColumnTimeDT {
		return []string{otherThan(cell, column), "(null)"} // a text, as it is
	}
	var out []string
	for _, other := range variants(v) {
		text := "(null)"
		if other != nil {
			b, err := json.Marshal(other)
			if err != nil {
				t.Fatal(err)
			}
			if text = string(b); text[0] == '"' {
				text = other.(string)
			}
		}
		out = append(out, text)
	}
	return out
}

// everyLeaf rewrites every so many of what can be changed in the columns of
// attributes of each public file, with all digests right; deep has to name file,
// row and column, and the event by its place.
func everyLeaf(t *testing.T, start, every int) {
	h := newSmall(t)
	base, _ := lake.Columns()
	n, at := 0, start
	for _, segment := range h.data() {
		if !lake.Public(segment[len("lake/"):]) {
			continue
		}
		good := h.read(segment)
		table := make(map[string][]string)
		h.cells(segment, func(name string, cells []string) []string {
			table[name] = cells
			return cells
		})
		h.write(segment, good)
		for _, column := range h.columns(segment)[len(base):] {
			for row, cell := range table[column] {
				for _, other := range rewritten(t, cell, column) {
					if at++; at%every != 0 {
						continue
					}
					n++
					h.write(segment, good)
					h.cells(segment, func(name string, cells []string) []string {
						if name == column {
							cells[row] = other
						}
						return cells
					})
					h.restate(segment, nil)
					r := h.run(Options{Deep: true})
					h.find(r, segment, fmt.Sprint("row ", row), "column "+column, table["epoch"][row], "sequence "+table["sequence"][row])
					if t.Failed() {
						t.Fatalf("%s, row %d, column %s: %s instead of %s", segment, row, column, other, cell)
					}
				}
			}
		}
		h.write(segment, good)
		h.restate(segment, nil)
	}
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine || n == 0 {
		t.Errorf("afterwards: %v", r.Problems)
	}
	t.Logf("%d cells rewritten", n)
}

// One of twenty things that can be changed in nested columns; test-all changes all.
func TestLeaves(t *testing.T) { everyLeaf(t, tamperDice(t, 4).IntN(20), 20) }
