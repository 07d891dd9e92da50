// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/apache/arrow/go/v17/parquet"

	"github.com/docket-audit/docket/collector/store"
)

// Failed is failed, for tests of its hints.
var Failed = failed

// ScanOnly is scan, which uses no index.
var ScanOnly = scan

// Bounds are bounds.
type Bounds struct {
	First, Window, Aside, Page int64
	Open                       int
}

// ScanWithin is scan within other bounds. It fails when something is held still
// after the last entry.
func ScanWithin(ctx context.Context, b Bounds, dir string, files []File, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		s := newScanner(dir, files, q)
		defer s.close()
		s.bounds = bounds{b.First, b.Window, b.Aside, b.Page, b.Open}
		stopped, given := false, 0
		err := s.scan(ctx, func(e store.Entry) bool {
			stopped = !yield(e, nil)
			given++
			return !stopped
		})
		if err == nil && !stopped && (q.Limit == 0 || given < q.Limit) && (len(s.open) > 0 || len(s.aside) > 0 || s.asideBytes > 0) {
			err = fmt.Errorf("%d files are open, %d entries put aside", len(s.open), len(s.aside))
		}
		if err != nil {
			yield(store.Entry{}, err)
		}
	}
}

// WriteWith changes how files are written until the test ends.
func WriteWith(t testing.TB, more ...parquet.WriterProperty) {
	hot, public := writerProperties, publicProperties
	t.Cleanup(func() { writerProperties, publicProperties = hot, public })
	writerProperties = parquet.NewWriterProperties(append(baseProperties(), more...)...)
	publicProperties = parquet.NewWriterProperties(append(publicBaseProperties(), more...)...)
}

// LookUp returns how many rows a look-up finds, of the writer l or of a reader;
// it fails where there is none.
func LookUp(ctx context.Context, dir string, files []File, q store.Query, l *Lake) (int, error) {
	var x *indexes
	if l != nil {
		x = l.indexes
	}
	found, err := lookUp(ctx, dir, files, q, x)
	if err != nil {
		return 0, err
	}
	return len(found.rows), nil
}
