// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpans(t *testing.T) {
	two := spans{[]int64{3, 5}, []int64{1, 5}, []int64{4, 9}}
	for _, c := range []struct {
		number, writer int64
		want           bool
	}{{1, 3, true}, {4, 3, true}, {5, 3, false}, {4, 5, false}, {5, 5, true}, {9, 5, true}, {10, 5, false}, {5, 4, false}, {0, 3, false}, {1, 0, false}, {9, 6, false}} {
		if got := two.have(c.number, c.writer); got != c.want {
			t.Errorf("row of commit %d by writer %d: %v", c.number, c.writer, got)
		}
	}
	if new(spans).have(1, 1) || new(spans).have(0, 0) {
		t.Error("rows of commits in an empty store")
	}
	// A writer whose range was ended before it began has none.
	if (spans{[]int64{3, 5}, []int64{7, 5}, []int64{4, 9}}).have(7, 3) {
		t.Error("a row of a writer whose time was over")
	}
}

// What is known grows by commits that follow, and is never more than that says.
func TestMemory(t *testing.T) {
	var m memory
	for _, c := range []struct {
		number uint64
		writer int64
		want   spans
	}{
		{0, 0, spans{}},
		{2, 1, spans{}}, // who made the first one?
		{1, 1, spans{[]int64{1}, []int64{1}, []int64{1}}},
		{1, 1, spans{[]int64{1}, []int64{1}, []int64{1}}},
		{4, 1, spans{[]int64{1}, []int64{1}, []int64{4}}}, // as what is between them is by nobody else
		{5, 3, spans{[]int64{1, 3}, []int64{1, 5}, []int64{4, 5}}},
		{7, 4, spans{[]int64{1, 3}, []int64{1, 5}, []int64{4, 5}}}, // whose is 6?
		{6, 1, spans{[]int64{1, 3}, []int64{1, 5}, []int64{4, 5}}}, // nobody comes back
		{8, 3, spans{[]int64{1, 3}, []int64{1, 5}, []int64{4, 8}}},
		{7, 3, spans{}}, // another database, such as one put back from a copy
	} {
		before := m.get()
		kept := spans{append([]int64(nil), before.writers...), append([]int64(nil), before.firsts...), append([]int64(nil), before.lasts...)}
		m.come(c.number, c.writer)
		if d := cmp.Diff(c.want, m.get(), cmp.AllowUnexported(spans{})); d != "" {
			t.Errorf("after commit %d by writer %d (-want +got):\n%s", c.number, c.writer, d)
		}
		if d := cmp.Diff(kept, spans{append([]int64(nil), before.writers...), append([]int64(nil), before.firsts...), append([]int64(nil), before.lasts...)}, cmp.AllowUnexported(spans{})); d != "" {
			t.Errorf("commit %d changed what somebody reads: %s", c.number, d)
		}
	}
}
