// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// An event of the examples, a line each.
func BenchmarkReader(b *testing.B) {
	event, err := os.ReadFile(filepath.Join("..", "..", "..", "schemas", "ocsf", "examples", "1.8.0", "08_outcome_modify.json"))
	if err != nil {
		b.Fatal(err)
	}
	event = append(bytes.TrimSpace(event), '\n')
	in := bytes.Repeat(event, 1000)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	r := NewReader(bytes.NewReader(in), Options{})
	for b.Loop() {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			r = NewReader(bytes.NewReader(in), Options{})
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
