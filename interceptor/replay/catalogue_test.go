// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

// An amendment is a change of the first era's charter, and what kinds of
// differences it makes at least; none when it makes none. Which operations they are
// is the model's to say.
type amendment struct {
	name   string
	change func(charter) charter
	kinds  []replay.Comparison
}

// to changes one clause.
func to(name string, how func(*clause)) func(charter) charter {
	return func(c charter) charter { return c.change(name, how) }
}

// kinds of differences.
func differs(kinds ...replay.Comparison) []replay.Comparison { return kinds }

const (
	flip  = replay.Flipped
	patch = replay.PatchesDiffer
	fails = replay.Erred
)

var amendments = []amendment{
	{"nothing", func(c charter) charter { return c }, nil},
	{"rule tightened", to("images/list", func(x *clause) { x.list = []string{"base:1", "fill:1"} }), differs(flip)},
	{"rule loosened", to("images/list", func(x *clause) { x.list = append(slices.Clone(x.list), "evil:1", "base:3") }), differs(flip)},
	{"rule tightened for some, loosened for others", to("images/list", func(x *clause) { x.list = []string{"base:1", "evil:1", "fill:1"} }), differs(flip)},

	{"order of two that depend on each other", func(c charter) charter { return c.swap("naming/lower", "naming/prefix") }, differs(patch)},
	{"order: what needs the one before comes first", func(c charter) charter { return c.swap("tags/defaults", "tags/stamp") }, differs(fails)},
	{"order of two that deny", func(c charter) charter { return c.swap("images/list", "risk/gate") }, nil}, // denied all the same
	{"order within the interceptor's", to("naming/lower", func(x *clause) { x.order = 15 }), nil},

	{"failure policy opened", to("images/list", func(x *clause) { x.policy = interceptor.FailOpen }), differs(flip)},
	{"failure policy closed", to("quota/limit", func(x *clause) { x.policy = interceptor.FailClosed }), differs(flip)},
	{"failure policy closed in one phase", to("owner/set", func(x *clause) { x.modify = interceptor.FailClosed }), differs(flip)},
	{"failure policy opened in a phase that it has not", to("state/guard", func(x *clause) { x.modify = interceptor.FailOpen }), nil},
	{"failure policy after the handler", to("watch/commits", func(x *clause) { x.post = interceptor.Ignore }), differs(replay.FailureDiffers)},

	{"binding removed that denies", func(c charter) charter { return c.without("images/list") }, differs(flip)},
	{"binding removed that patches", func(c charter) charter { return c.without("naming/prefix") }, differs(patch)},
	{"binding removed that another needs", func(c charter) charter { return c.without("tags/defaults") }, differs(fails)},
	{"binding removed whose patch let operations pass", func(c charter) charter { return c.without("size/cap") }, differs(flip, patch)},
	{"binding removed that only looks on", func(c charter) charter { return c.without("watch/commits") }, nil},
	{"shadow removed", func(c charter) charter { return c.without("trial/stamp") }, nil},
	{"binding renamed: its failures were another's", to("images/list", func(x *clause) { x.id = "renamed" }), differs(flip)},

	{"binding added that denies", func(c charter) charter {
		return c.with(clause{who: "names", id: "tmp", order: 5, phases: phases(validates), methods: []string{"CreateBox", "BulkBox"}, rule: rule{does: "names", text: "tmp-"}})
	}, differs(flip)},
	{"binding added that denies before others patch", func(c charter) charter {
		return c.with(clause{who: "names", id: "tmp", order: 45, phases: phases(modifies), methods: []string{"UpdateBox"}, rule: rule{does: "names", text: "tmp-"}})
	}, differs(flip)},
	{"binding added that patches", func(c charter) charter {
		return c.with(clause{who: "tags", id: "second", order: 42, phases: phases(modifies), methods: []string{"UpdateBox"}, rule: rule{does: "stamp", text: "second"}})
	}, differs(patch)},
	{"binding added where nobody governed", func(c charter) charter {
		return c.with(clause{who: "names", id: "lists", order: 5, phases: phases(validates), methods: []string{"ListBoxes"}, rule: rule{does: "names", text: "tmp-"}})
	}, nil}, // nothing of these operations is in the record
	{"binding added that only looks on", func(c charter) charter {
		return c.with(clause{who: "watch", id: "more", order: 5, phases: phases(observes), rule: rule{does: "allow"}})
	}, nil},
	{"shadow added", func(c charter) charter {
		return c.with(clause{who: "trial", id: "more", order: 5, phases: phases(modifies, validates, observes), shadow: true, rule: rule{does: "names", text: "p-"}})
	}, nil},

	{"limit of a rule lowered", to("quota/limit", func(x *clause) { x.n = 4 }), differs(flip)},
	{"limit of a rule raised", to("quota/limit", func(x *clause) { x.n = 11 }), differs(flip)},
	{"limit of patches lowered", to("owner/set", func(x *clause) { x.maxPatches = 1 }), differs(fails)},
	{"limit of patches lowered, of one that may not fail", to("template/expand", func(x *clause) { x.maxPatches, x.policy = 1, interceptor.FailClosed }), differs(fails)},
	{"limit of a result lowered", to("risk/score", func(x *clause) { x.maxBytes = 1 }), differs(fails)},

	{"patch changed", to("tags/stamp", func(x *clause) { x.text = "changed" }), differs(patch)},
	{"patch changed, of the second that patches", to("size/cap", func(x *clause) { x.n = 7 }), differs(patch)},
	{"patch removed", to("notes/keep", func(x *clause) { x.does = "allow" }), differs(flip, patch)},
	{"patches in another place, behind one that is new", func(c charter) charter {
		return c.change("tags/stamp", func(x *clause) { x.order = 46 }).with(clause{who: "tags", id: "first", order: 44, phases: phases(modifies), methods: []string{"UpdateBox"}, rule: rule{does: "stamp", text: "stamped-too"}})
	}, differs(patch)},
	{"settings changed", to("size/cap", func(x *clause) { x.n = 3 }), differs(flip, patch)},
	{"settings changed that say nothing new", to("images/list", func(x *clause) { x.text = "unused" }), nil},

	{"selector narrowed by method", to("images/list", func(x *clause) { x.methods = []string{"UpdateBox"} }), differs(flip)},
	{"selector narrowed by principal", to("images/list", func(x *clause) { x.principals = []string{"user/alice", "sandbox"} }), differs(flip)},
	{"selector narrowed by label", to("images/list", func(x *clause) { x.labels = map[string]string{"team": "a"} }), differs(flip)},
	{"selector of one that patches narrowed by label", to("tags/stamp", func(x *clause) { x.labels = map[string]string{"tier": "*", "team": "a"} }), differs(flip, patch)},
	{"selector widened", to("quota/limit", func(x *clause) { x.principals = nil }), differs(flip)},
	{"selector widened to a method", to("agents/deny", func(x *clause) { x.methods = append(slices.Clone(x.methods), "UpdateBox") }), differs(flip)},
	{"selector turned to others", to("size/cap", func(x *clause) { x.principals = []string{"agent", "anonymous/*"} }), differs(flip, patch)},

	{"shadow promoted that denies", to("trial/list", func(x *clause) { x.shadow = false }), differs(flip)},
	{"shadow promoted that patches", to("trial/stamp", func(x *clause) { x.shadow = false }), differs(flip, patch)},
	{"shadow promoted after the handler", to("watch/trial", func(x *clause) { x.shadow = false }), nil}, // it failed then, too: it denies, too late
	{"demoted that denies", to("images/list", func(x *clause) { x.shadow = true }), differs(flip)},
	{"demoted that patches", to("naming/prefix", func(x *clause) { x.shadow = true }), differs(patch)},
	{"demoted that another needs", to("tags/defaults", func(x *clause) { x.shadow = true }), differs(fails)},

	{"phase earlier: what it judged by is not shown there", to("state/guard", func(x *clause) { x.phases = phases(modifies) }), differs(flip)},
	{"phase earlier: it judges what was patched later", to("images/list", func(x *clause) { x.phases, x.order = phases(modifies), 5 }), differs(flip)},
	{"phase later: it has no say any more", to("images/list", func(x *clause) { x.phases = phases(observes) }), differs(flip)},
	{"phase one more", to("risk/gate", func(x *clause) { x.phases = phases(modifies, validates) }), nil}, // denied all the same, only earlier

	{"unmatched denied", func(c charter) charter { c.unmatched = interceptor.UnmatchedDeny; return c }, differs(flip)},

	{"metadata changed that another reads", to("risk/score", func(x *clause) { x.n = 25 }), differs(flip)},
	{"metadata set no more", to("risk/score", func(x *clause) { x.does = "allow" }), differs(flip)},
	{"metadata set by who was a shadow", to("trial/tenant", func(x *clause) { x.shadow = false }), differs(flip)},
	{"metadata set by a shadow", to("risk/score", func(x *clause) { x.shadow = true }), differs(flip)},
	{"metadata set after they are read", to("risk/score", func(x *clause) { x.phases, x.order = phases(validates), 135 }), differs(flip)},
	{"metadata granted no more, to who sets others by them", to("risk/score", func(x *clause) { x.reads = nil }), differs(flip)},
	{"metadata granted no more", to("risk/gate", func(x *clause) { x.reads = nil }), differs(flip)},
	{"attributes granted no more", to("agents/deny", func(x *clause) { x.attributes = nil }), differs(flip)},

	{"panics now", to("images/list", func(x *clause) { x.breaks, x.when = "panic", "base:2" }), differs(fails)},
	{"times out now, which is not held against the operation", to("quota/limit", func(x *clause) { x.breaks, x.when = "timeout", "base:1" }), differs(fails)},
	{"is not to be reached now", to("naming/lower", func(x *clause) { x.breaks, x.when = "unavailable", "old:1" }), differs(fails)},
	{"patches badly now", to("notes/keep", func(x *clause) { x.breaks, x.when = "patch", "*" }), differs(fails)},
	{"patches where it may not", to("state/guard", func(x *clause) { x.breaks, x.when = "patch", "base:1" }), differs(fails)},
	{"patches too much now", to("tags/stamp", func(x *clause) { x.breaks, x.when = "patches", "base:2" }), differs(fails)},
	{"says nothing now", to("agents/deny", func(x *clause) { x.breaks, x.when = "nothing", "*" }), differs(fails)},
	{"sets what it may not", to("risk/score", func(x *clause) { x.breaks, x.when = "scope", "base:1" }), differs(fails)},
	{"shadow panics now", to("trial/list", func(x *clause) { x.breaks, x.when = "panic", "*" }), nil},
	{"panics after the handler", to("watch/commits", func(x *clause) { x.breaks, x.when = "panic", "*" }), differs(fails)},
	{"says something else after the handler", to("watch/commits", func(x *clause) { x.does, x.note = "score", "looked" }), differs(fails)}, // metadata that it may not set
	{"notes something else after the handler", to("watch/commits", func(x *clause) { x.note = "looked" }), differs(replay.AnnotationsDiffer)},

	{"answered from the record: who denies", to("images/list", func(x *clause) { x.unlinked = true }), nil},
	{"answered from the record: who patches", to("tags/stamp", func(x *clause) { x.unlinked = true }), nil},
	{"answered from the record: all", func(c charter) charter {
		for _, x := range c.clauses {
			c = c.change(x.name(), func(x *clause) { x.unlinked = true })
		}
		return c
	}, nil},
	{"answered from the record, after another patch", func(c charter) charter {
		return c.change("images/list", func(x *clause) { x.unlinked = true }).change("size/cap", func(x *clause) { x.n = 7 })
	}, nil},
	{"answered from the record, in another phase", to("quota/limit", func(x *clause) { x.unlinked, x.phases = true, phases(modifies) }), nil},

	{"timeout", to("images/list", func(x *clause) { x.hasty = true }), nil},
	{"record waited for", func(c charter) charter { c.audit = interceptor.AuditDurable; return c }, nil},
	{"all of the second era", func(charter) charter { return secondEra() }, differs(flip, patch)},
}

// A chronicle is a world's history, to be replayed in part.
type chronicle struct {
	world  *world
	deeds  []*deed
	then   []*verdict // what came of them
	events []told
}

// A told is an event and the number of its deed.
type told struct {
	raw  []byte
	deed int
}

func (w *world) chronicle() *chronicle {
	c := &chronicle{world: w, deeds: w.deeds()}
	numbers := map[string]int{}
	for i, d := range c.deeds {
		c.then = append(c.then, settle(&w.eras[d.era], d, nil))
		numbers[d.uid()] = i
	}
	for raw, err := range w.Events(context.Background(), "") {
		if err != nil {
			w.tb.Fatal(err)
		}
		h, err := profile.Parse(raw)
		if err != nil {
			w.tb.Fatal(err)
		}
		c.events = append(c.events, told{raw, numbers[h.OperationUID]})
	}
	return c
}

// A part of a chronicle is some of its deeds.
type part struct {
	*chronicle
	has map[int]bool
}

// Events implements [replay.Source].
func (p part) Events(context.Context, string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, e := range p.events {
			if p.has[e.deed] && !yield(e.raw, nil) {
				return
			}
		}
	}
}

// TestCatalogue replays a world under changed charters. The operations that differ
// are those that the model names, and no others. With the build tag torture every
// change meets every operation, else some that differ in each way, and some that do
// not.
func TestCatalogue(t *testing.T) {
	c := (&world{tb: t, seed: 25, first: 1, last: catalogued, eras: []charter{firstEra()}}).chronicle()
	for _, a := range slices.Concat(amendments, answering) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			a.hold(t, c)
		})
	}
	if len(amendments) < 25 {
		t.Errorf("%d changes", len(amendments))
	}
}

// hold holds the engine against the model.
func (a *amendment) hold(t *testing.T, c *chronicle) {
	changed := a.change(c.world.eras[0])
	want, number := map[string]finding{}, map[string]int{}
	counts := map[replay.Comparison]int{}
	each := map[finding]int{}
	of := part{c, map[int]bool{}}
	for i, d := range c.deeds {
		if d.cut > 0 && !c.then[i].judged() {
			continue // nothing is in the record
		}
		now := settle(&changed, d, c.then[i])
		f := d.compare(c.then[i], now).answers(c.then[i], now)
		if each[f] >= ofEach {
			continue
		}
		each[f]++
		want[d.uid()], number[d.uid()], of.has[i] = f, i, true
		counts[f.comparison]++
	}
	plan, calls := changed.plan(nil)
	got := map[string]finding{}
	report, err := replay.Run(context.Background(), of, plan, replay.Each(func(d replay.Diff) {
		got[d.Operation] = findingOf(groupOf(&d))
	}))
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for _, uid := range slices.Sorted(maps.Keys(want)) {
		if got[uid] == want[uid] {
			continue
		}
		if wrong++; wrong <= 3 {
			d, was := c.deeds[number[uid]], c.then[number[uid]]
			t.Errorf("deed %d, %s: %v, the model says %v\n%+v\nthen %s by %q, failed %v, edits %.300q", d.n, d.method, got[uid], want[uid], *d, was.decision, was.by, was.failed, was.edits)
		}
	}
	if wrong > 0 || len(got) != len(want) {
		t.Errorf("%d of %d operations are wrong; %d are in the report", wrong, len(want), len(got))
	}
	said := map[replay.Comparison]int{
		replay.Same: report.Same, flip: report.Flips, patch: report.PatchDiffs, fails: report.Errors, replay.StatusDiffers: report.StatusDiffs,
		replay.FailureDiffers: report.FailureDiffs, replay.AnnotationsDiffer: report.AnnotationDiffs, replay.Unreplayable: report.Unreplayable,
	}
	maps.DeleteFunc(said, func(_ replay.Comparison, n int) bool { return n == 0 })
	if diff := cmp.Diff(counts, said); diff != "" {
		t.Errorf("counts (-want +got): %s", diff)
	}
	if diff := cmp.Diff(groupsOf(want), groupsIn(report)); diff != "" {
		t.Errorf("groups (-want +got): %s", diff)
	}
	if calls.Load() != int64(report.Reexecuted) {
		t.Errorf("interceptors were called %d times, %d re-executed", calls.Load(), report.Reexecuted)
	}
	for kind := range counts {
		if a.kinds == nil && (kind == flip || kind == patch || kind == fails) {
			t.Errorf("the model finds %d of %s", counts[kind], kind)
		}
	}
	for _, kind := range a.kinds {
		if counts[kind] == 0 {
			t.Errorf("the model finds none of %s", kind)
		}
	}
	t.Log(counts)
}

// findingOf returns what a group says that the model says too. Why operations are
// unreplayable, and by whom, it does not.
func findingOf(g *replay.Group) finding {
	f := finding{comparison: g.Comparison}
	switch g.Comparison {
	case replay.Same, replay.Unreplayable:
		return f
	case fails:
		f.reason = g.Reason
	}
	f.from, f.to = g.From, g.To
	if g.Interceptor != "" {
		f.by = g.Interceptor + "/" + g.Binding
	}
	return f
}

// groupsOf counts what differs alike.
func groupsOf(findings map[string]finding) map[string]int {
	out := map[string]int{}
	for _, f := range findings {
		if f.comparison != replay.Same {
			out[fmt.Sprint(f)]++
		}
	}
	return out
}

func groupsIn(r *replay.Report) map[string]int {
	out := map[string]int{}
	for i := range r.Groups {
		out[fmt.Sprint(findingOf(&r.Groups[i]))] += r.Groups[i].Count
	}
	return out
}

// groupOf is what a difference has in common with others.
func groupOf(d *replay.Diff) *replay.Group {
	return &replay.Group{
		Comparison: d.Comparison, Service: d.Service, Method: d.Method, From: d.From, To: d.To,
		Interceptor: d.Interceptor, Binding: d.Binding, Reason: d.Reason,
	}
}
