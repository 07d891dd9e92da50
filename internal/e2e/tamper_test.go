// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// checkTamper damages copies of dir in every way that the issue of the road
// names, and wants `docket verify` to exit 3 and to name what was touched.
func checkTamper(t *testing.T, dir string) {
	rng := rand.New(rand.NewPCG(uint64(*seed), 3))
	segments := segmentsOf(t, dir)
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, dir string) (named string)
	}{
		{"flip a byte in a segment", func(t *testing.T, dir string) string {
			seg := segments[rng.IntN(len(segments))]
			flip(t, filepath.Join(dir, seg), rng)
			return filepath.Base(seg)
		}},
		{"flip a byte in the manifest", func(t *testing.T, dir string) string {
			flip(t, filepath.Join(dir, "lake", "_manifest.json"), rng)
			return "_manifest.json"
		}},
		{"delete a segment", func(t *testing.T, dir string) string {
			seg := segments[rng.IntN(len(segments)-1)]
			remove(t, filepath.Join(dir, seg))
			return filepath.Base(seg)
		}},
		{"delete the newest segment", func(t *testing.T, dir string) string {
			seg := segments[len(segments)-1]
			remove(t, filepath.Join(dir, seg))
			return filepath.Base(seg)
		}},
		{"delete the newest statement and its segment", func(t *testing.T, dir string) string {
			statements, _ := filepath.Glob(filepath.Join(dir, "lake", "_commits", "*.json"))
			slices.Sort(statements)
			remove(t, statements[len(statements)-1])
			remove(t, filepath.Join(dir, segments[len(segments)-1]))
			return "" // what is left names it by number
		}},
		{"rewrite a decision", func(t *testing.T, dir string) string {
			for _, seg := range segments {
				if rewriteDecision(t, filepath.Join(dir, seg)) {
					return filepath.Base(seg)
				}
			}
			t.Fatal("no segment holds a deny")
			return ""
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			victim := copyOf(t, dir)
			named := tc.do(t, victim)
			for _, args := range [][]string{{"verify"}, {"verify", "--deep"}} {
				stdout, stderr, code := docket(t, append(args, "--data", victim)...)
				if code != 3 {
					t.Errorf("%v: exit %d, want 3\n%s%s", args, code, stdout, stderr)
				}
				if !strings.Contains(stdout+stderr, named) {
					t.Errorf("%v does not name %q:\n%s%s", args, named, stdout, stderr)
				}
			}
		})
	}

	t.Run("yesterday's directory over today's", func(t *testing.T) {
		yesterday, today := copyOf(t, dir), copyOf(t, dir)
		p := start(t, docketBin, "up", "--demo", "--for", "3s", "--data", today)
		if code := p.wait(seconds(90)); code != 0 {
			t.Fatalf("docket up: exit %d", code)
		}
		kept := filepath.Join(t.TempDir(), "checkpoint")
		b, err := os.ReadFile(filepath.Join(today, "ledger", "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kept, b, 0o600); err != nil {
			t.Fatal(err)
		}
		mustDocket(t, "verify", "--against", kept, "--data", today)
		mustDocket(t, "verify", "--data", yesterday) // whole in itself: only the checkpoint tells
		stdout, stderr, code := docket(t, "verify", "--against", kept, "--data", yesterday)
		if code != 3 {
			t.Errorf("verify --against: exit %d, want 3\n%s%s", code, stdout, stderr)
		}
	})
}

// segmentsOf returns the lake's segments, oldest first, relative to dir.
func segmentsOf(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "lake", "_hot", "*.parquet"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d segments in %s: %v", len(paths), dir, err)
	}
	slices.Sort(paths) // names are UUIDv7
	for i, p := range paths {
		paths[i], _ = filepath.Rel(dir, p)
	}
	return paths
}

func flip(t *testing.T, name string, rng *rand.Rand) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	// CopyFS gives every file the mode of its source, less the umask.
	return to
}

// rewriteDecision turns the first deny of a segment into an allow, by reading
// and writing well-formed Parquet. It reports whether there was one.
func rewriteDecision(t *testing.T, name string) bool {
	t.Helper()
	r, err := file.OpenParquetFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	r.Close()

	at := table.Schema().FieldIndices("decision")[0]
	b := array.NewStringBuilder(memory.DefaultAllocator)
	done := false
	for _, chunk := range table.Column(at).Data().Chunks() {
		col := chunk.(*array.String)
		for i := range col.Len() {
			v := col.Value(i)
			if v == "deny" && !done {
				v, done = "allow", true
			}
			b.Append(v)
		}
	}
	if !done {
		return false
	}
	columns := make([]arrow.Column, table.NumCols())
	for i := range columns {
		columns[i] = *table.Column(i)
	}
	chunked := arrow.NewChunked(arrow.BinaryTypes.String, []arrow.Array{b.NewArray()})
	columns[at] = *arrow.NewColumn(table.Schema().Field(at), chunked)
	forged := array.NewTable(table.Schema(), columns, table.NumRows())

	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd))
	if err := pqarrow.WriteTable(forged, f, table.NumRows(), props, pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	return true
}
