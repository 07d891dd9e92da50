// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// captureMax is what the record of the world keeps of a payload, in bytes.
const captureMax = 1500

// A world is deeds done under charters, one after the other, and recorded. It is
// the same for the same seed, however often it is told, but for the words in which
// failures say how they came about. Its events come as a stream has them: those of
// several operations mixed, some twice.
type world struct {
	tb    testing.TB
	seed  uint64
	first int // deeds first to last
	last  int
	eras  []charter
	holes bool // an event of each 25th is missing
}

// window is how many operations are under way at a time.
const window = 8

// Events implements [replay.Source].
func (w *world) Events(context.Context, string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s := newScribe(w)
		defer s.close()
		for n := w.first; n <= w.last; n += window {
			mix := rand.New(rand.NewPCG(w.seed, uint64(n)<<32))
			var under [][]ocsf.Event
			for i := n; i <= min(n+window-1, w.last); i++ {
				d := newDeed(w.seed, i, len(w.eras))
				events := s.record(d)
				if events = d.left(events); w.holes && d.holed() {
					hole := mix.IntN(len(events))
					events = slices.Delete(events, hole, hole+1)
				}
				under = append(under, events)
			}
			for len(under) > 0 {
				i := mix.IntN(len(under))
				if len(under[i]) == 0 {
					under = slices.Delete(under, i, i+1)
					continue
				}
				raw := s.seal(under[i][0])
				under[i] = under[i][1:]
				for range 1 + mix.IntN(100)/99 { // one of a hundred comes again
					if !yield(raw, nil) {
						return
					}
				}
			}
		}
	}
}

// left returns what is left of a deed's events: of one that was cut off at least
// the first of the evaluations, if there was any.
func (d *deed) left(events []ocsf.Event) []ocsf.Event {
	if d.cut == 0 {
		return events
	}
	outcome := slices.IndexFunc(events, func(e ocsf.Event) bool { return e.Common().Metadata.EventCode == profile.KindOutcome })
	return events[:min(1+d.cut%max(1, outcome), outcome)]
}

// holed says whether an event of the deed is missing in a world with holes.
func (d *deed) holed() bool { return d.n%25 == 0 && d.cut == 0 }

// deeds returns what the world does.
func (w *world) deeds() []*deed {
	var out []*deed
	for n := w.first; n <= w.last; n++ {
		out = append(out, newDeed(w.seed, n, len(w.eras)))
	}
	return out
}

// TestWorld: a world is told twice in the same way, and has some of everything.
func TestWorld(t *testing.T) {
	w := &world{tb: t, seed: 3, first: 1, last: 400, eras: []charter{firstEra(), secondEra()}, holes: true}
	var tellings [2][]string
	count := map[string]int{}
	for i := range tellings {
		for raw := range w.Events(context.Background(), "") {
			h, err := profile.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			tellings[i] = append(tellings[i], fmt.Sprint(h.Tenant, h.Sequence, h.MetadataUID, h.OperationUID, h.Kind, h.Interceptor, h.Binding, h.Phase, h.FailureKind, h.Decision))
			count[h.Kind]++
			count[h.Tenant]++
			count[h.FailureKind]++
			count[h.FailurePolicy]++
		}
	}
	if !slices.Equal(tellings[0], tellings[1]) {
		t.Error("two tellings differ")
	}
	for _, what := range []string{
		"acme", "globex", "initech", profile.KindEvaluation, profile.KindResult, profile.KindFailure, profile.KindOutcome,
		"timeout", "unavailable", "invalid_result", "limit", "panic", "scope", "cancelled", "fail_open", "fail_closed", "ignore",
	} {
		if count[what] == 0 {
			t.Errorf("nothing of %s", what)
		}
	}
}
