// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkOpen is what a query costs before it begins, by the number of files:
// each query has a database of its own.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	writeSegment(b, filepath.Join(dir, "0.parquet"), map[string]any{"metadata_uid": "e0"})
	files := []string{"0.parquet"}
	for i := 1; i < 1000; i++ {
		files = append(files, fmt.Sprintf("%d.parquet", i))
		copyFile(b, filepath.Join(dir, files[i]), filepath.Join(dir, files[0]))
	}
	for _, n := range []int{0, 1, 10, 100, 1000} {
		for _, q := range []string{"SELECT count(*) FROM events", "SELECT * FROM operations", "SELECT * FROM evaluations"} {
			b.Run(fmt.Sprintf("%d files/%s", n, q), func(b *testing.B) {
				for b.Loop() {
					db, err := Open(b.Context(), Scope{Dir: dir, Files: files[:n]})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := ask(b.Context(), db, q); err != nil {
						b.Fatal(err)
					}
					if err := db.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func copyFile(b *testing.B, to, from string) {
	b.Helper()
	in, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		b.Fatal(err)
	}
}
