// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"
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
