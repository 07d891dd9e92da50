// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/collector/sql"
)

var large = flag.Int64("flight.large", 256<<20, "bytes of the large answer of TestLarge")

// A large answer takes no more memory here than a small one.
func TestLarge(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	rows := *large / 1024
	info, err := c.Execute(ctx, fmt.Sprintf("SELECT range AS n, repeat('0123456789abcdef', 63) AS s FROM range(%d)", rows))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var n int64
	var most uint64
	for batch := 0; r.Next(); batch++ {
		column := r.Record().Column(0).(*array.Int64)
		if column.Value(0) != n {
			t.Fatalf("row %d is %d", n, column.Value(0))
		}
		if n += r.Record().NumRows(); batch%64 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if err := r.Err(); err != nil || n != rows {
		t.Errorf("%d rows of %d, %v", n, rows, err)
	}
	// Both ends are in this process.
	if most > 64<<20 {
		t.Errorf("%d MiB were held", most>>20)
	}
	t.Logf("%d rows, at most %d MiB held", n, most>>20)
}

// Two callers at a time do not get each other's rows, and a third is told that
// there are too many.
func TestManyCallers(t *testing.T) {
	h := newHouse(t, sql.Limits{Running: 2, Waiting: 64}, nil)
	c := h.client()
	type answer struct {
		n   int
		s   string
		err error
	}
	answers := make(chan answer)
	const callers = 12
	for n := range callers {
		go func() {
			s, err := ask(as(t.Context(), []string{"acme", "globex"}[n%2]), c, fmt.Sprintf("SELECT %d AS n, count(*) AS c FROM range(%d)", n, n))
			answers <- answer{n, s, err}
		}()
	}
	for range callers {
		a := <-answers
		if diff := cmp.Diff(fmt.Sprintf("n;c;\n%d;%d;\n", a.n, a.n), a.s); a.err != nil || diff != "" {
			t.Errorf("caller %d: %v\n%s", a.n, a.err, diff)
		}
	}
	busy := newHouse(t, sql.Limits{Running: 1, Waiting: 1}, nil)
	ctx := as(t.Context(), "acme")
	bc := busy.client()
	info, err := bc.Execute(ctx, endless)
	if err != nil {
		t.Fatal(err)
	}
	first, err := bc.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	waiting, leave := context.WithCancel(ctx)
	errs := make(chan error, 2)
	for range 2 { // of which one waits, and the other is turned away
		go func() {
			_, err := bc.Execute(waiting, "SELECT 1")
			errs <- err
		}()
	}
	wantCode(t, "too many", <-errs, codes.ResourceExhausted, "too many queries")
	leave()
	wantCode(t, "the one who waited", <-errs, codes.Canceled, "")
}
