// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// claim sends garbage that claims to be an event of e.
func (r *rig) claim(e *storetest.Epoch, data string, sequence int64) {
	r.t.Helper()
	r.send(profile.Subject(profile.Prefix, profile.Header{Tenant: e.Tenant, Kind: "x", Decision: "none", Emitter: e.Emitter}), []byte(data), map[string]string{
		profile.HeaderEpoch: e.UID, profile.HeaderSequence: fmt.Sprint(sequence),
	})
}

// reasons returns why messages are in quarantine, in the order of the stream.
func (r *rig) reasons() []string {
	r.t.Helper()
	reader, err := lake.OpenReader(r.dir + "/lake")
	if err != nil {
		r.t.Fatal(err)
	}
	var messages []store.Quarantined
	for _, q := range reader.Manifest().Quarantined {
		m, err := lake.ReadQuarantine(reader.Dir(), q.Path)
		if err != nil {
			r.t.Fatal(err)
		}
		messages = append(messages, m...)
	}
	slices.SortFunc(messages, func(a, b store.Quarantined) int { return int(a.StreamSeq) - int(b.StreamSeq) })
	var reasons []string
	for _, m := range messages {
		reasons = append(reasons, m.Reason)
	}
	return reasons
}

func (r *rig) wantReasons(want ...string) {
	r.t.Helper()
	got := r.reasons()
	if len(got) != len(want) {
		r.t.Fatalf("%d messages in quarantine, not %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			r.t.Errorf("reason %d is not about %q: %q", i, want[i], got[i])
		}
	}
}

// No single message stops the collector, whatever it names.
func TestForgedNames(t *testing.T) {
	r := newRig(t)
	e, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "acme", "gateway-1")
	sent := []store.Entry{e.Start(), other.Start()}
	r.publish(sent...)
	r.claim(e, "garbage", 1<<63-1)
	for _, name := range []string{"../../x", "not\x1b[31ma uuid", strings.ToUpper(e.UID)} {
		named := storetest.NewEpoch(t, "acme", "gateway-0")
		named.UID = name
		// A header cannot hold all that a name can.
		r.send(profile.Subject(profile.Prefix, named.Start().Header), named.Fork().Start().Raw, nil)
	}
	far := storetest.NewEpoch(t, "acme", "gateway-0")
	closes := func(epoch string, last int64) store.Closed {
		return store.Closed{Epoch: epoch, LastSequence: last, Fingerprint: strings.Repeat("0", 64)}
	}
	r.publish(
		far.Fork().Start(closes("../../x", 1)), far.Fork().Start(closes(e.UID, profile.MaxInteger)),
		far.Fork().Start(closes(e.UID, judge.MaxJump+2)), far.Fork().Start(closes(other.UID, 1)),
	)
	last := e.Stop()
	sent = append(sent, last)
	r.publish(last)
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(sent)
	r.wantReasons("malformed", "not a UUID", "not a UUID", "not a UUID", "not a UUID", "beyond", "too far ahead", "another emitter's")
	if m := r.mark(e.UID); m != "2" {
		t.Errorf("watermark is %q", m)
	}
}

// A directory that took such an epoch once is collected into again.
func TestEpochWithoutAWatermark(t *testing.T) {
	r := newRig(t)
	l, err := lake.Open(r.dir+"/lake", lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	for _, name := range []string{"../../x", "not\x1b[31ma uuid", "a$b", strings.Repeat("x", 5000)} {
		named := storetest.NewEpoch(t, "acme", "gateway-0")
		named.UID = name
		b.Entries = append(b.Entries, named.Start())
	}
	if _, err := l.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	start := e.Start()
	r.publish(start)
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(b.Entries, start))
}

// Garbage that claims to be events which are still to come moves no watermark
// and keeps none of them out.
func TestForgedClaims(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	for n := range int64(50) {
		r.claim(e, fmt.Sprintf("garbage %d", n), 5+n)
	}
	run := r.start()
	r.drained(run)
	if m := r.mark(e.UID); m != "4" {
		t.Errorf("watermark is %q, the last event is 4", m)
	}
	more := e.Operation()
	r.publish(more...)
	r.drained(run)
	if m := r.mark(e.UID); m != "7" {
		t.Errorf("watermark is %q, the last event is 7", m)
	}
	if s := run.Status().Epochs; len(s) != 1 || s[0].Sequenced != 7 || s[0].Quarantined != 0 || s[0].Missing != 0 {
		t.Errorf("account is %+v", s)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if len(r.found()) > 0 {
		t.Errorf("found %d things wrong", len(r.found()))
	}
	r.wantExactly(append(sent, more...))
}

// A sequence that nobody can have counted is put aside, in a new epoch as in
// one that is known.
func TestForgedSequences(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	start := e.Start()
	r.publish(start)
	forge := func(epoch string, sequence int64) store.Entry {
		event := e.Fork().Stop()
		raw, _, err := profile.Seal(decode(t, event.Raw), profile.Link{
			Emitter: "gateway-0", Epoch: epoch, Sequence: sequence, PrevUID: storetest.NewUID(), PrevFingerprint: strings.Repeat("0", 64),
		})
		if err != nil {
			t.Fatal(err)
		}
		h, err := profile.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return store.Entry{Raw: raw, Header: h}
	}
	r.publish(forge(storetest.NewUID(), profile.MaxInteger), forge(e.UID, judge.MaxJump+2))
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly([]store.Entry{start})
	r.wantReasons("beyond", "too far ahead")
}

// picky is a store that can never take what is about a certain thing.
type picky struct {
	Store
	entry   string // event uid
	claim   int64
	commits int
}

func (p *picky) Commit(ctx context.Context, b store.Batch) (store.Committed, error) {
	p.commits++
	for i := range b.Entries {
		if b.Entries[i].Header.MetadataUID == p.entry {
			return store.Committed{}, fmt.Errorf("%w: too red", store.ErrUnfit)
		}
	}
	for i := range b.Quarantined {
		if b.Quarantined[i].Sequence == p.claim {
			return store.Committed{}, fmt.Errorf("%w: too blue", store.ErrUnfit)
		}
	}
	return p.Store.Commit(ctx, b)
}

// What the store can never take is found and put aside; the rest is stored.
func TestUnfitForTheStore(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	for range 20 {
		sent = append(sent, e.Operation()...)
	}
	r.publish(sent...)
	r.claim(e, "garbage", 33)
	r.claim(e, "garbage", 34)
	run := r.start(func(c *Config) { c.Store = &picky{Store: c.Store, entry: sent[17].Header.MetadataUID, claim: 33} })
	r.drained(run)
	if s := run.Status(); s.Error != "" || len(s.Epochs) != 1 || s.Epochs[0].Quarantined != 1 || s.Epochs[0].Missing != 0 {
		t.Errorf("status is %+v", s)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(slices.Delete(slices.Clone(sent), 17, 18))
	r.wantReasons("too red", "too blue", "malformed")
	if m := r.mark(e.UID); m != fmt.Sprint(e.Sequence()) {
		t.Errorf("watermark is %s, not %d", m, e.Sequence())
	}
}

// An emitter cannot silence a finding about itself by sending one that looks like
// it: what the collector did not tell by its own emitter was not told.
func TestForgedFindings(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	operation := storetest.NewUID()
	want := []string{"dangling:" + operation, fmt.Sprintf("%s:%s:4", findingBroken, e.UID)}
	forge := func(uid string) store.Entry {
		f := finding{uid: uid, kind: findingDangling, tenant: e.Tenant, message: "nothing to see here", data: map[string]any{}}
		return e.Seal(f.event(storetest.NewUID(), e.Time))
	}
	forged := []store.Entry{forge(want[0]), forge(want[1])}
	other := e.Fork()
	other.Start()
	begun := other.API(profile.KindEvaluation, operation, storetest.NewUID()) // follows another than is sent
	r.publish(append(forged, e.Start(), begun, other.Stop())...)
	check := func(times int) {
		t.Helper()
		told := r.danglingFindings()
		for _, uid := range want {
			if told[uid] != times {
				t.Errorf("%s was told %d times, not %d: %v", uid, told[uid], times, told)
			}
		}
	}
	// As they come, and as they are found in the store by the next start; only
	// then they go out, and come back.
	run := r.start()
	r.drained(run)
	check(1)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run := r.start(echo(r))
		r.drained(run)
		check(2)
		r.drained(run) // the findings themselves
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func decode(t *testing.T, raw []byte) ocsf.Event {
	t.Helper()
	e, err := ocsf.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
