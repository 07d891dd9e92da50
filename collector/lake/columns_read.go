// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/internal/regular"
)

// ReadColumns calls each for the rows of one segment of the lake in dir, some
// at a time and in the order of the file, with an array for each of names. The
// arrays are gone when each returns. It is [ReadSegment] for those who need few
// columns of many rows.
func ReadColumns(ctx context.Context, dir, path string, names []string, each func(columns []arrow.Array) error) error {
	s, err := openSegment(dir, path)
	if err != nil {
		return err
	}
	defer s.close()
	for g := range s.groups() {
		if err := s.read(ctx, g, names, each); err != nil {
			return err
		}
	}
	return nil
}

// ReadRaw calls each with the events of some rows of a segment of the lake in
// dir, given in ascending order. It reads the pages that hold them, not the file.
// The bytes are gone when each returns.
func ReadRaw(ctx context.Context, dir string, f *File, rows []int, each func(row int, raw []byte) error) error {
	file, err := regular.Open(filepath.Join(dir, filepath.FromSlash(f.Path)), os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer func() { _ = file.Close() }() // was only read
	of, err := f.indexed()
	if err != nil {
		return err
	}
	pages, err := index.OpenRows(file, of)
	if errors.Is(err, index.ErrLayout) {
		return readRawAll(ctx, dir, f.Path, rows, each)
	}
	for i := 0; i < len(rows) && err == nil; i++ {
		var raw []byte
		if raw, err = pages.Bytes(int64(rows[i])); err == nil {
			if err := errors.Join(ctx.Err(), each(rows[i], raw)); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", f.Path, ErrCorrupt, err)
	}
	return nil
}

// readRawAll is ReadRaw for a file whose pages are not as ours.
func readRawAll(ctx context.Context, dir, path string, rows []int, each func(row int, raw []byte) error) error {
	first := 0 // row of the batch
	return ReadColumns(ctx, dir, path, []string{ColumnRaw}, func(columns []arrow.Array) error {
		texts := columns[0].(*array.String)
		for len(rows) > 0 && rows[0] < first+texts.Len() {
			if err := each(rows[0], []byte(texts.Value(rows[0]-first))); err != nil {
				return err
			}
			rows = rows[1:]
		}
		first += texts.Len()
		return nil
	})
}
