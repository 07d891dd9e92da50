// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/plans"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// digest is that of a plan which the tests call by a letter.
func digest(plan string) string { return "sha256:" + strings.Repeat(plan, 64) }

// A history makes the events of gateways as they come to be stored. Times are
// seconds behind [storetest.Start].
type history struct {
	t      testing.TB
	stored []store.Entry
}

// A process is a gateway from its start to its end.
type process struct {
	h      *history
	name   string
	epochs map[string]*storetest.Epoch // by tenant
}

func (h *history) start(name string, at int) *process {
	p := &process{h: h, name: name, epochs: map[string]*storetest.Epoch{}}
	p.say(at, profile.TenantDocket, nil)
	return p
}

// say stores an event; nil is the one that every epoch begins with.
func (p *process) say(at int, tenant string, event ocsf.Event) {
	e := p.epochs[tenant]
	if e == nil {
		e = storetest.NewEpoch(p.h.t, tenant, p.name)
		p.epochs[tenant] = e
		e.Time = storetest.Start + int64(at)*1000
		p.h.stored = append(p.h.stored, e.Start())
	}
	e.Time = storetest.Start + int64(at)*1000
	if event != nil {
		p.h.stored = append(p.h.stored, e.Seal(event))
	}
}

func naming(plan string) map[string]any {
	return map[string]any{profile.Unmapped: map[string]any{"plan": digest(plan)}}
}

func (p *process) activate(at int, plan string) {
	p.say(at, profile.TenantDocket, &ocsf.EntityManagement{
		ActivityID: ocsf.EntityManagementActivate,
		Base:       ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}, Unmapped: naming(plan)},
	})
}

// reject says that another plan than this one was refused.
func (p *process) reject(at int, plan string) {
	p.say(at, profile.TenantDocket, &ocsf.ApplicationError{
		ActivityID: ocsf.ApplicationErrorGeneralError,
		Base:       ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}, Unmapped: naming(plan)},
	})
}

func (p *process) judge(at int, tenant, plan string) {
	p.say(at, tenant, &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		Base: ocsf.Base{
			Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, CorrelationUID: storetest.NewUID()}, Unmapped: naming(plan),
			API: &ocsf.API{Operation: "Create", Service: &ocsf.Service{Name: "acme.v1.Things"}}, Actor: &ocsf.Actor{AppName: "app"},
		},
	})
}

func (p *process) stop(at int) {
	for _, e := range p.epochs {
		e.Time = storetest.Start + int64(at)*1000
		p.h.stored = append(p.h.stored, e.Stop())
	}
}

// forget takes events away that are selected, as retention does.
func (h *history) forget(which func(*profile.Header) bool) {
	h.stored = slices.DeleteFunc(h.stored, func(e store.Entry) bool { return which(&e.Header) })
}

func plan(letter string) func(*profile.Header) bool {
	return func(h *profile.Header) bool { return h.Kind == profile.KindLifecycle && h.PlanDigest == digest(letter) }
}

func everything(h *profile.Header) bool {
	return h.Kind == profile.KindLifecycle
}

// put commits the events, so many at a time.
func (h *history) put(t testing.TB, atOnce int) *memory.Store {
	t.Helper()
	m := memory.New(memory.Options{})
	for batch := range slices.Chunk(h.stored, atOnce) {
		if _, err := m.Commit(context.Background(), store.Batch{Entries: slices.Clone(batch)}); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func second(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatFloat(float64(t.UnixMilli()-storetest.Start)/1000, 'f', -1, 64)
}

// lines are periods for people who compare them.
func lines(periods []plans.Period) (out []string) {
	for _, p := range periods {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s..%s %s %s", p.Gateway, p.Digest[len(p.Digest)-1:], second(p.From), second(p.Until), p.Began, p.Ended)))
	}
	return out
}

func TestPeriods(t *testing.T) {
	for name, c := range map[string]struct {
		make func(h *history)
		want []string
	}{
		"nothing": {func(*history) {}, nil},
		"one that goes on": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(0, "a")
			p.judge(5, "acme", "a")
		}, []string{"gw a 0.. activated"}},
		"reloads, and a stop": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.activate(100, "b")
			p.activate(200, "a")
			p.stop(300)
		}, []string{"gw a 1..100 activated replaced", "gw b 100..200 activated replaced", "gw a 200..300 activated stopped"}},
		"several gateways": {func(h *history) {
			p, q := h.start("gw-0", 0), h.start("gw-1", 1)
			p.activate(1, "a")
			q.activate(2, "a")
			q.activate(50, "b")
			p.activate(60, "b")
			q.stop(70)
		}, []string{"gw-0 a 1..60 activated replaced", "gw-0 b 60.. activated", "gw-1 a 2..50 activated replaced", "gw-1 b 50..70 activated stopped"}},
		"a stop and a start": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.stop(10)
			p = h.start("gw", 100)
			p.activate(101, "a")
		}, []string{"gw a 1..10 activated stopped", "gw a 101.. activated"}},
		// The period ends with what was last heard of it, of whichever tenant.
		"killed": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(30, "acme", "a")
			h.start("other", 35).activate(36, "b")
			q := h.start("gw", 100)
			q.activate(101, "b")
		}, []string{"gw a 1..30.001 activated unknown", "gw b 101.. activated", "other b 36.. activated"}},
		"killed before anything": {func(h *history) {
			h.start("gw", 0).activate(1, "a")
			h.start("gw", 100).activate(101, "a")
		}, []string{"gw a 1..1.001 activated unknown", "gw a 101.. activated"}},
		"killed, and not back yet": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(30, "acme", "a")
		}, []string{"gw a 1.. activated"}},
		"said twice": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.activate(50, "a")
			p.activate(60, "b")
		}, []string{"gw a 1..60 activated replaced", "gw b 60.. activated"}},
		// A reload that could not be finished: b was stated and never in force.
		"activated and rejected": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.activate(50, "b")
			p.reject(51, "a")
			p.activate(51, "a")
			p.judge(60, "acme", "a")
		}, []string{"gw a 1.. activated"}},
		"rejected before it was stated": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.reject(51, "a")
			p.activate(100, "b")
		}, []string{"gw a 1..100 activated replaced", "gw b 100.. activated"}},
		"known by a rejection alone": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.reject(51, "a")
			h.forget(func(h *profile.Header) bool { return h.ClassUID == int32(ocsf.ClassEntityManagement) })
		}, []string{"gw a 51.. stated"}},
		// Operations that began by a plan end by it.
		"operations under way": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(40, "acme", "a")
			p.activate(50, "b")
			p.judge(51, "acme", "b")
			p.judge(52, "acme", "a")
			p.judge(53, "globex", "a") // its tenant's first
			p.judge(54, "acme", "b")
		}, []string{"gw a 1..50 activated replaced", "gw b 50.. activated"}},
		"operations under way, of which nothing is said": {func(h *history) {
			p := h.start("gw", 0)
			p.judge(40, "acme", "a")
			p.judge(50, "acme", "b")
			p.judge(51, "acme", "a")
			p.judge(52, "globex", "a")
			p.judge(53, "globex", "b")
			h.forget(everything)
		}, []string{"gw a 40..50 operation replaced", "gw b 50.. operation"}},
		"nothing is said, and it came back": {func(h *history) {
			p := h.start("gw", 0)
			p.judge(40, "acme", "a")
			p.judge(50, "acme", "b")
			p.judge(500, "acme", "a")
			p.judge(501, "acme", "b")
			h.forget(everything)
		}, []string{"gw a 40..500.001 operation replaced", "gw b 50.. operation"}},
		"a gateway that says when it starts, and no more": {func(h *history) {
			p := h.start("gw", 0)
			p.judge(40, "acme", "a")
			p.stop(50)
			p = h.start("gw", 100)
			p.judge(140, "acme", "a")
			p = h.start("gw", 200)
			p.judge(240, "acme", "b")
		}, []string{"gw a 40..50 operation stopped", "gw a 140..140.001 operation unknown", "gw b 240.. operation"}},
		"the first is forgotten": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(10, "acme", "a")
			p.activate(50, "b")
			p.judge(60, "acme", "b")
			h.forget(plan("a"))
		}, []string{"gw a 10..50 operation replaced", "gw b 50.. activated"}},
		"a reload is forgotten": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(10, "acme", "a")
			p.activate(200, "b")
			p.judge(210, "acme", "b")
			p.activate(400, "a")
			p.judge(410, "acme", "a")
			h.forget(plan("b"))
		}, []string{"gw a 1..210 activated replaced", "gw b 210..400 operation replaced", "gw a 400.. activated"}},
		"known from when it came back": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(10, "acme", "a")
			p.activate(200, "b")
			p.activate(400, "a")
			p.judge(410, "acme", "a")
			h.stored = slices.DeleteFunc(h.stored, func(e store.Entry) bool {
				return e.Header.PlanDigest == digest("a") && e.Header.Time < storetest.Start+5000
			})
		}, []string{"gw a 10..200 operation replaced", "gw b 200..400 activated replaced", "gw a 400.. activated"}},
		"another run's is forgotten": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(1, "a")
			p.judge(10, "acme", "a")
			p.stop(20)
			p = h.start("gw", 30)
			p.activate(31, "a")
			p.judge(40, "acme", "a")
			h.stored = slices.DeleteFunc(h.stored, func(e store.Entry) bool {
				return e.Header.ClassUID == int32(ocsf.ClassEntityManagement) && e.Header.Time > storetest.Start+25_000
			})
		}, []string{"gw a 1..20 activated stopped", "gw a 40.. operation"}},
		// The reading 30 was there twice: by a and by b.
		"a clock set back": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(20, "a")
			p.judge(40, "acme", "a")
			p.activate(10, "b")
			p.judge(30, "acme", "b")
			p.activate(100, "a")
		}, []string{"gw a 20..40.001 activated replaced", "gw b 10..100 activated replaced", "gw a 100.. activated"}},
		"a clock set back while the gateway was away": {func(h *history) {
			p := h.start("gw", 100)
			p.activate(101, "a")
			p.judge(140, "acme", "a")
			p = h.start("gw", 10)
			p.activate(11, "b")
			p.judge(30, "acme", "b")
			p.stop(40)
		}, []string{"gw a 101..140.001 activated unknown", "gw b 11..40 activated stopped"}},
		"a clock set back by an operation's plan": {func(h *history) {
			p := h.start("gw", 0)
			p.activate(20, "a")
			p.judge(40, "acme", "a")
			p.judge(15, "acme", "a")
		}, []string{"gw a 20.. activated"}},
		"what is no plan's": {func(h *history) {
			p := h.start("gw", 0)
			p.say(3, "acme", &ocsf.APIActivity{
				ActivityID: ocsf.APIActivityCreate,
				Base: ocsf.Base{
					Metadata: ocsf.Metadata{EventCode: profile.KindOutcome}, Policy: &ocsf.Policy{Version: "v1.2"},
					API: &ocsf.API{Operation: "Create"}, Actor: &ocsf.Actor{AppName: "app"},
				},
			})
			p.say(4, profile.TenantDocket, &ocsf.ApplicationError{ActivityID: ocsf.ApplicationErrorGeneralError, Base: ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}}})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history{t: t}
			c.make(h)
			for _, atOnce := range []int{1, 3, 1000} {
				got, err := plans.Read(t.Context(), h.put(t, atOnce), plans.Query{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(c.want, lines(got)); diff != "" {
					t.Errorf("%d events at once (-want +got):\n%s", atOnce, diff)
				}
				for _, p := range got {
					if !slices.ContainsFunc(h.stored, func(e store.Entry) bool {
						return e.Header.MetadataUID == p.Event && e.Header.Time == p.From.UnixMilli() && e.Header.PlanDigest == p.Digest && e.Header.Emitter == p.Gateway
					}) {
						t.Errorf("%+v: its event does not say so", p)
					}
				}
			}
		})
	}
}

// An event that came late, after a hole was asked for, is where it belongs.
func TestLateEvents(t *testing.T) {
	h := &history{t: t}
	p := h.start("gw", 0)
	p.activate(1, "a")
	p.judge(10, "acme", "a")
	p.activate(200, "b")
	p.judge(210, "acme", "b")
	p.activate(400, "c")
	late := slices.IndexFunc(h.stored, func(e store.Entry) bool { return plan("b")(&e.Header) })
	e := h.stored[late]
	h.stored = append(slices.Delete(h.stored, late, late+1), e)
	got, err := plans.Read(t.Context(), h.put(t, 1), plans.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]string{"gw a 1..200 activated replaced", "gw b 200..400 activated replaced", "gw c 400.. activated"}, lines(got)); diff != "" {
		t.Error(diff)
	}
}

func TestQuery(t *testing.T) {
	h := &history{t: t}
	p, q := h.start("gw-0", 0), h.start("gw-1", 1)
	p.activate(1, "a")
	q.activate(2, "b")
	p.activate(100, "b")
	q.judge(150, "secret", "b")
	p.activate(200, "c")
	q = h.start("gw-1", 300)
	q.activate(301, "c")
	q.judge(310, "secret", "d")
	m := h.put(t, 1)
	at := func(s int) time.Time { return time.UnixMilli(storetest.Start + int64(s)*1000) }
	for name, c := range map[string]struct {
		q    plans.Query
		want []string
	}{
		"a gateway":         {plans.Query{Gateway: "gw-0"}, []string{"gw-0 a 1..100 activated replaced", "gw-0 b 100..200 activated replaced", "gw-0 c 200.. activated"}},
		"no gateway":        {plans.Query{Gateway: "gw"}, nil},
		"a span":            {plans.Query{Since: at(100), Until: at(200)}, []string{"gw-0 b 100..200 activated replaced", "gw-1 b 2..150.001 activated unknown"}},
		"since":             {plans.Query{Since: at(305)}, []string{"gw-0 c 200.. activated", "gw-1 c 301..310 activated replaced", "gw-1 d 310.. operation"}},
		"until":             {plans.Query{Until: at(2)}, []string{"gw-0 a 1..100 activated replaced"}},
		"while it was away": {plans.Query{Gateway: "gw-1", Since: at(200), Until: at(300)}, nil},
		"as it was":         {plans.Query{AsOf: 4}, []string{"gw-0 a 1.. activated", "gw-1 b 2.. activated"}},
		// Neither are the times of others' operations told.
		"a tenant that is not seen": {plans.Query{Gateway: "gw-1", Sees: func(tenant string) bool { return tenant != "secret" }}, []string{"gw-1 b 2..2.001 activated unknown", "gw-1 c 301.. activated"}},
		"docket is not seen":        {plans.Query{Sees: func(tenant string) bool { return tenant == "secret" }}, []string{"gw-1 b 150..310 operation replaced", "gw-1 d 310.. operation"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := plans.Read(t.Context(), m, c.q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(c.want, lines(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is lost of what gateways say of themselves, no operation is left
// without its plan: that plan was in force at its gateway, at its time, or was
// replaced while the operation was under way. And whatever nothing is lost of is
// told as it was.
func TestEveryOperationHasItsPlan(t *testing.T) {
	letters := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(r *rapid.T) {
		h := &history{t: t}
		var want []string
		type run struct {
			p     *process
			name  string
			plan  string
			since int
			last  int
		}
		names := []string{"gw-0", "gw-1"}
		now, runs := 0, map[string]*run{}
		end := func(u *run, until, ended string) {
			want = append(want, strings.TrimSpace(fmt.Sprintf("%s %s %d..%s activated %s", u.name, u.plan, u.since, until, ended)))
		}
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			now += rapid.SampledFrom([]int{1, 2, 30, 100}).Draw(r, "later")
			name := rapid.SampledFrom(names).Draw(r, "gateway")
			u := runs[name]
			letter := rapid.SampledFrom(letters).Draw(r, "plan")
			switch do := rapid.SampledFrom([]string{"judge", "judge", "judge", "reload", "refused", "stop", "kill"}).Draw(r, "do"); {
			case u == nil || do == "kill":
				if u != nil {
					end(u, fmt.Sprintf("%d.001", u.last), plans.Unknown)
				}
				u = &run{p: h.start(name, now), name: name, plan: letter, since: now, last: now}
				u.p.activate(now, letter)
				runs[name] = u
			case do == "judge":
				u.p.judge(now, rapid.SampledFrom([]string{"acme", "globex"}).Draw(r, "tenant"), u.plan)
				u.last = now
			case do == "reload":
				u.p.activate(now, letter)
				if letter != u.plan {
					end(u, strconv.Itoa(now), plans.Replaced)
					u.plan, u.since = letter, now
				}
				u.last = now
			case do == "refused":
				u.p.activate(now, letter)
				u.p.reject(now, u.plan)
				u.p.activate(now, u.plan)
				u.last = now
			default:
				u.p.stop(now)
				end(u, strconv.Itoa(now), plans.Stopped)
				delete(runs, name)
			}
		}
		for _, u := range runs {
			end(u, "", "")
		}
		read := func() []plans.Period {
			got, err := plans.Read(context.Background(), h.put(t, rapid.IntRange(1, 9).Draw(r, "at once")), plans.Query{})
			if err != nil {
				r.Fatal(err)
			}
			return got
		}
		got := lines(read())
		slices.Sort(got)
		slices.Sort(want)
		if diff := gocmp.Diff(want, got); diff != "" {
			r.Fatalf("with everything (-want +got):\n%s", diff)
		}
		h.forget(func(h *profile.Header) bool {
			return h.Kind == profile.KindLifecycle && h.Tenant == profile.TenantDocket && rapid.Bool().Draw(r, "forget")
		})
		if len(h.stored) == 0 {
			return
		}
		periods := read()
		for _, e := range h.stored {
			if e.Header.Kind != profile.KindOutcome {
				continue
			}
			at := time.UnixMilli(e.Header.Time)
			if !slices.ContainsFunc(periods, func(p plans.Period) bool {
				late := p
				if !late.Until.IsZero() && late.Ended == plans.Replaced {
					late.Until = late.Until.Add(time.Minute + time.Millisecond)
				}
				return p.Gateway == e.Header.Emitter && p.Digest == e.Header.PlanDigest && late.Has(at)
			}) {
				slices.SortFunc(h.stored, func(a, b store.Entry) int { return cmp.Compare(a.Header.Time, b.Header.Time) })
				var all []string
				for _, e := range h.stored {
					all = append(all, fmt.Sprintf("%s %s class %d activity %d %.9s %s", second(time.UnixMilli(e.Header.Time)), e.Header.Emitter, e.Header.ClassUID, e.Header.ActivityID, e.Header.PlanDigest, e.Header.Tenant))
				}
				r.Fatalf("%s at %s by %.9s has no plan in\n%s\nof\n%s", e.Header.Emitter, second(at), e.Header.PlanDigest, strings.Join(lines(periods), "\n"), strings.Join(all, "\n"))
			}
		}
	})
}
