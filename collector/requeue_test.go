// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// held returns what is in quarantine, opened anew.
func (r *rig) held() []store.Held {
	r.t.Helper()
	reader, err := lake.OpenReader(r.dir + "/lake")
	if err != nil {
		r.t.Fatal(err)
	}
	var all []store.Held
	for h, err := range reader.Quarantined(r.t.Context()) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

// requeue returns what became of messages, by ID.
func (r *rig) requeue(run *running, ids ...string) map[string]Requeued {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	all := map[string]Requeued{}
	if err := run.Requeue(ctx, ids, func(q Requeued) error { all[q.ID] = q; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) messages() uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "DOCKET")
	if err != nil {
		r.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// An event that came too far ahead of its epoch is refused, and is one as soon as
// the epoch has come near; garbage stays garbage, and is kept once.
func TestRequeue(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	first := e.Start()
	e.Skip(judge.MaxJump - 2)
	near := e.Operation()
	e.Skip(5)
	far := e.Operation()

	run := r.start()
	r.publish(first)
	r.publish(far[0])
	r.send("docket.activity.acme.x.none.-.-.gateway-0", []byte("garbage\x00\x1b["), map[string]string{"Nats-Expected-Stream": "DOCKET", "X": "y"})
	r.drained(run)
	r.wantExactly([]store.Entry{first})
	held := r.held()
	if len(held) != 2 || held[0].StreamSeq != 2 || held[1].StoredTime.IsZero() || held[0].ID == held[1].ID {
		t.Fatalf("in quarantine: %+v", held)
	}
	ahead, garbage := held[0].ID, held[1].ID

	// The cause is not mended: nothing becomes an event, and nothing is kept twice.
	for range 2 {
		got := r.requeue(run)
		for id, reason := range map[string]string{ahead: held[0].Reason, garbage: held[1].Reason} {
			if q := got[id]; q.Became != BecameRefused || q.Reason != reason || q.StreamSeq == 0 || q.As != "" {
				t.Errorf("before the cause is mended: %+v", q)
			}
		}
	}
	if diff := cmp.Diff(held, r.held()); diff != "" {
		t.Errorf("the quarantine has changed:\n%s", diff)
	}

	// Nearer, and still refused: for another reason, of which there is a copy.
	r.publish(near[0])
	r.drained(run)
	e2 := storetest.NewEpoch(t, "acme", "gateway-0")
	second := e2.Start()
	r.publish(second)
	r.drained(run)
	got := r.requeue(run, ahead)
	if q := got[ahead]; len(got) != 1 || q.Became != BecameStored || q.Event != far[0].Header.MetadataUID || q.StreamSeq == 0 {
		t.Fatalf("after the cause is mended: %+v", got)
	}
	r.wantExactly([]store.Entry{first, near[0], second, far[0]})

	// Once more, by another collector over the same directory: nothing is sent.
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	run = r.start()
	r.drained(run)
	before := r.messages()
	if q := r.requeue(run, ahead)[ahead]; q.Became != BecameDuplicate || q.Event != far[0].Header.MetadataUID || q.StreamSeq != 0 || r.messages() != before {
		t.Errorf("once more: %+v, %d messages, before %d", q, r.messages(), before)
	}
	r.wantExactly([]store.Entry{first, near[0], second, far[0]})
	if diff := cmp.Diff(held, r.held()); diff != "" {
		t.Errorf("the quarantine has changed:\n%s", diff)
	}
	if a := Account(e.UID, run.lake.Epoch(e.UID), nil); a.Quarantined != 0 || a.Sequenced != a.Stored+a.InFlight {
		t.Errorf("the account: %+v", a)
	}
	err := run.Requeue(t.Context(), []string{ahead, "nothing.1"}, func(Requeued) error { t.Error("something was sent"); return nil })
	if !errors.Is(err, store.ErrNotFound) || r.messages() != before {
		t.Errorf("an ID of none: %v", err)
	}
}

// What is refused for a reason that is not the one before is told, and kept too;
// the copy can be requeued like any other.
func TestRequeuedForAnotherReason(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	first, second := e.Start(), e.Operation()
	e.Skip(2 * judge.MaxJump)
	far := e.Operation()
	run := r.start()
	r.publish(first, far[0])
	r.drained(run)
	id := r.held()[0].ID
	r.publish(second...) // the reason names the highest sequence so far
	r.drained(run)
	q := r.requeue(run, id)[id]
	held := r.held()
	if q.Became != BecameQuarantined || len(held) != 2 || q.As != held[1].ID || q.Reason != held[1].Reason || held[0].ID != id || held[0].Reason == q.Reason {
		t.Fatalf("%+v, in quarantine %+v", q, held)
	}
	if q := r.requeue(run, q.As)[q.As]; q.Became != BecameRefused {
		t.Errorf("the copy: %+v", q)
	}
	if len(r.held()) != 2 {
		t.Errorf("in quarantine: %+v", r.held())
	}
}

// Killed when a message is sent and not judged: it is judged at the next start,
// once.
func TestRequeueIsCutOff(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	first := e.Start()
	e.Skip(judge.MaxJump - 2)
	near := e.Operation()
	e.Skip(5)
	far := e.Operation()
	run := r.start()
	r.publish(first, far[0], near[0])
	r.drained(run)
	held := r.held()
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Send(t.Context(), r.js, &held[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := Send(t.Context(), r.js, &held[0]); err != nil {
		t.Fatal(err)
	}
	run = r.start()
	if q := r.requeue(run)[held[0].ID]; q.Became != BecameStored && q.Became != BecameDuplicate {
		t.Errorf("%+v", q)
	}
	r.drained(run)
	r.wantExactly([]store.Entry{first, near[0], far[0]})
}

// Anybody may say that a message is one of the quarantine. Nothing is dropped for
// it that is not there, byte for byte.
func TestRequeuedForged(t *testing.T) {
	r := newRig(t)
	run := r.start()
	const subject = "docket.activity.acme.x.none.-.-.gateway-0"
	r.send(subject, []byte("garbage"), map[string]string{"X": "y"})
	r.drained(run)
	id := r.held()[0].ID
	for _, m := range []struct {
		subject, data string
		headers       map[string]string
	}{
		{subject, "garbage, other", map[string]string{"X": "y", store.HeaderRequeued: id}},
		{subject + "1", "garbage", map[string]string{"X": "y", store.HeaderRequeued: id}},
		{subject, "garbage", map[string]string{"X": "z", store.HeaderRequeued: id}},
		{subject, "garbage", map[string]string{"X": "y", store.HeaderRequeued: "../../x.1"}},
		{subject, "garbage", map[string]string{"X": "y", store.HeaderRequeued: id + "0"}},
		{subject, "garbage", map[string]string{"X": "y", profile.HeaderEventUID: "z", store.HeaderRequeued: id}},
	} {
		r.send(m.subject, []byte(m.data), m.headers)
	}
	r.drained(run)
	if n := len(r.held()); n != 7 {
		t.Errorf("%d in quarantine, want 7", n)
	}
	if !slices.ContainsFunc(r.held(), func(h store.Held) bool { return h.ID == id }) {
		t.Error("the first is gone")
	}
}
