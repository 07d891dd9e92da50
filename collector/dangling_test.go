// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

const quarterHour = int64(15 * time.Minute / time.Millisecond)

// follow feeds a follower and returns what it tells.
func follow(f *follower, events ...store.Entry) []string {
	for i := range events {
		f.add(events[i].Header)
	}
	f.judge(quarterHour)
	var told []string
	for _, found := range f.found {
		uid := found.uid
		if found.closed {
			uid = "closed " + uid
		}
		told = append(told, uid)
	}
	f.found = nil
	return told
}

func wantTold(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func TestDanglingWhenTheEpochStops(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	operation, evaluation := storetest.NewUID(), storetest.NewUID()
	silent, asked := storetest.NewUID(), storetest.NewUID()
	wantTold(t, "while the epoch goes on", follow(f,
		e.Start(),
		e.API(profile.KindEvaluation, operation, evaluation),
		e.API(profile.KindEvaluation, silent, asked),
		e.API(profile.KindOutcome, silent, ""), // whole but for the answer of asked
		e.API(profile.KindResult, operation, evaluation)))
	stop := e.Stop()
	f.last = stop.Header.Sequence
	wantTold(t, "at the end", follow(f, stop), "dangling:"+operation, "dangling:"+silent)
	wantTold(t, "told once", follow(f))
}

func TestWholeOperationsAreNotDangling(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	after, late := e.Operation(), storetest.NewUID()
	post := func(kind string) store.Entry {
		entry := e.API(kind, after[0].Header.OperationUID, late)
		entry.Header.Phase = phasePostCommit
		return entry
	}
	events := slices.Concat(after, []store.Entry{post(profile.KindEvaluation), post(profile.KindFailure)}, e.Operation(), []store.Entry{e.Stop()})
	f.last = events[len(events)-1].Header.Sequence
	// Whatever order they come in, they are gone through in that of the epoch.
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	wantTold(t, "whole operations", follow(f, events...))
	if !f.complete() || len(f.open) != 0 {
		t.Errorf("complete is %v, %d open", f.complete(), len(f.open))
	}
}

func TestNothingIsJudgedBehindAHole(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	operation := storetest.NewUID()
	evaluation := storetest.NewUID()
	begun := e.API(profile.KindEvaluation, operation, evaluation)
	result := e.API(profile.KindResult, operation, evaluation)
	outcome := e.API(profile.KindOutcome, operation, "")
	e.Time += 10 * quarterHour
	muchLater := e.Operation()
	stop := e.Stop()
	f.last = stop.Header.Sequence
	wantTold(t, "with a hole", follow(f, slices.Concat([]store.Entry{begun, outcome}, muchLater, []store.Entry{stop})...))
	wantTold(t, "without", follow(f, result))
	if !f.complete() {
		t.Error("not complete without a hole")
	}
}

func TestAHorizonOfEventTime(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	operation, evaluation := storetest.NewUID(), storetest.NewUID()
	wantTold(t, "begun", follow(f, e.API(profile.KindEvaluation, operation, evaluation), e.API(profile.KindResult, operation, evaluation)))
	e.Time += quarterHour - 10
	wantTold(t, "nearly", follow(f, e.Operation()...))
	e.Time += 20
	wantTold(t, "beyond", follow(f, e.Operation()...), "dangling:"+operation)
	wantTold(t, "once", follow(f, e.Operation()...))
	wantTold(t, "after all", follow(f, e.API(profile.KindOutcome, operation, "")), "closed dangling:"+operation)
}

func TestBrokenHashChainAndConflict(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	first := e.Start()
	fork := e.Fork()
	second, third := e.Operation()[0], fork.Operation()[1] // third follows another second
	wantTold(t, "a fork", follow(f, first, second, third), fmt.Sprintf("hash_chain_break:%s:3", e.UID))
	conflicting := store.Entry{Header: second.Header}
	conflicting.Header.Fingerprint = strings.Repeat("0", 64)
	wantTold(t, "a conflict", follow(f, conflicting), fmt.Sprintf("conflict:%s:2:%s", e.UID, conflicting.Header.Fingerprint))
}

func TestQuarantinedSequences(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	events := append([]store.Entry{e.Start()}, e.Operation()...)
	f.add(events[0].Header)
	f.pass(store.Intervals{{First: 2, Last: 4}})
	if f.next != 2 {
		t.Errorf("a claim to be what is still to come is believed: next is %d", f.next)
	}
	f.add(events[2].Header)
	f.pass(store.Intervals{{First: 2, Last: 4}})
	wantTold(t, "a sequence of unknown content", follow(f, events[3]))
	if f.next != 5 {
		t.Errorf("next is %d, not 5", f.next)
	}
	// The claim was false: the epoch is to be read again.
	f.add(events[1].Header)
	if !f.again || len(f.found) != 0 {
		t.Errorf("again is %v, found %v", f.again, f.found)
	}
}

func TestTooMuchBehindAHole(t *testing.T) {
	f := newFollower("epoch", owner{"acme", "gateway-0"})
	for n := int64(2); n <= maxAhead+2; n++ {
		f.add(profile.Header{Epoch: "epoch", Sequence: n})
	}
	if !f.lost || len(f.ahead) != 0 {
		t.Errorf("lost is %v, %d kept", f.lost, len(f.ahead))
	}
}

// echo is what an emitter does with findings: it sends them, in an epoch of its
// own.
func echo(r *rig) func(*Config) {
	e := storetest.NewEpoch(r.t, "acme", "collector-0")
	var mu sync.Mutex // an emitter takes events from any goroutine
	return func(c *Config) {
		tell := c.Findings
		c.Findings = func(ctx context.Context, event ocsf.Event) {
			mu.Lock()
			defer mu.Unlock()
			tell(ctx, event)
			r.publish(e.Seal(event))
		}
	}
}

// danglingFindings returns the findings by operation: what was told.
func (r *rig) danglingFindings() map[string]int {
	told := make(map[string]int)
	for _, f := range r.found() {
		told[f.FindingInfo.UID]++
	}
	return told
}

// A crash is told by the start event that follows it. The finding about what
// was open is stored once, however often the collector starts again.
func TestDanglingAfterACrash(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	operation, evaluation := storetest.NewUID(), storetest.NewUID()
	r.publish(slices.Concat([]store.Entry{e.Start()}, e.Operation(), []store.Entry{e.API(profile.KindEvaluation, operation, evaluation)})...)
	emitter := echo(r)
	run := r.start(emitter)
	r.drained(run)
	if n := len(r.found()); n != 0 {
		t.Errorf("%d findings while nothing says that the epoch is over", n)
	}
	if s := run.Status(); s.Epochs[0].Open != 1 {
		t.Errorf("status is %+v", s)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	next := storetest.NewEpoch(t, "acme", "gateway-0")
	next.Version = "1.9.0" // configured anew meanwhile
	r.publish(next.Start(store.Closed{Epoch: e.UID, LastSequence: e.Sequence(), Fingerprint: e.Fingerprint()}))
	for range 3 {
		run := r.start(emitter)
		r.drained(run)
		r.drained(run) // the finding itself
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if told := r.danglingFindings(); len(told) != 1 || told["dangling:"+operation] != 1 {
		t.Errorf("told %v", told)
	}
	f := r.found()[0]
	if f.Metadata.CorrelationUID != operation || f.Metadata.TenantUID != "acme" || len(f.FindingInfo.RelatedEvents) != 1 {
		t.Errorf("the finding is %+v of %+v", f.FindingInfo, f.Metadata)
	}
	stored := 0
	for _, e := range r.stored() {
		if e.Header.Kind == profile.KindFinding {
			stored++
		}
	}
	if stored != 1 {
		t.Errorf("%d findings stored", stored)
	}
}

// A finding that was told and got lost on its way is told again.
func TestLostFindingIsToldAgain(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	operation := storetest.NewUID()
	r.publish(e.API(profile.KindEvaluation, operation, storetest.NewUID()), e.Stop())
	for range 2 {
		run := r.start()
		r.drained(run)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if told := r.danglingFindings(); told["dangling:"+operation] != 2 {
		t.Errorf("told %v", told)
	}
}
