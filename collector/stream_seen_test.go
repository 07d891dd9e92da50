// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

func (r *rig) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}

func (r *rig) wantTold(what string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.told()); diff != "" {
		r.t.Errorf("%s: told of the stream (-want +got):\n%s", what, diff)
	}
}

// anew deletes the stream and makes it anew.
func (r *rig) anew() {
	r.t.Helper()
	if err := r.js.DeleteStream(r.t.Context(), "DOCKET"); err != nil {
		r.t.Fatal(err)
	}
	if err := stream.Apply(r.t.Context(), r.js); err != nil {
		r.t.Fatal(err)
	}
}

// The stream is deleted under a running collector and made anew, and has more
// messages by then than the old one had: all of them are stored, and what
// happened is told, once.
func TestStreamDeletedMeanwhile(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	run := r.start()
	r.drained(run)
	r.wantTold("at first")
	r.anew()
	for range 3 {
		sent = append(sent, e.Operation()...)
	}
	r.publish(sent[2:]...) // two are repetitions, as after any doubt
	eventually(t, "everything stored", func() bool { s := run.Status().Epochs; return len(s) == 1 && s[0].Stored == 13 })
	for range 2 {
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		run = r.start()
		more := e.Operation()
		r.publish(more...)
		sent = append(sent, more...)
		r.drained(run)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	told := r.told()
	if len(told) != 1 || told[0][:len(changeMadeAnew)] != changeMadeAnew {
		t.Errorf("told %q", told)
	}
	r.wantExactly(sent)
}

// All that a stream made anew has are repetitions: nothing is committed, and the
// next start still knows that the store's sequences are those of the old one.
func TestStreamMadeAnewOfRepetitions(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	restart := func() {
		t.Helper()
		run := r.start()
		r.drained(run)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	r.anew()
	r.publish(sent[:2]...)
	restart()
	more := e.Operation() // 3 to 5 on the new stream; the old one had 4
	r.publish(more...)
	restart()
	r.wantExactly(append(sent, more...))
	r.wantTold("once", "made_anew 1-2")
}

// A stream that was put back to an earlier state has lost its end.
func TestStreamIsShorter(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.anew()
	s, err := r.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(seenStream{Created: s.CachedInfo().Created}) // it is the same one
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, streamName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	more := e.Operation()
	r.publish(append(slices.Clone(sent[:1]), more[0])...)
	for range 2 {
		run = r.start()
		r.drained(run)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
	}
	r.wantTold("once", "shorter 3-4")
	r.wantExactly(append(sent, more[0]))
}

// Messages that went before they were read, in between or from the beginning.
func TestMessagesRemoved(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(3, 3, 6)
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantTold("in between", "removed 3-6")
	more := append(e.Operation(), e.Operation()...)
	r.publish(more...) // 11 to 16
	s, err := r.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSequence(13)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run = r.start()
		r.drained(run)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
	}
	r.wantTold("from the beginning", "removed 3-6", "removed 11-12")
	have := slices.Concat(all[:2], all[3:5], all[6:], more[2:])
	r.wantExactly(have)
}

func TestStreamChangesAreOCSF(t *testing.T) {
	for _, change := range []string{changeMadeAnew, changeShorter, changeRemoved} {
		for _, version := range profile.Versions() {
			var event ocsf.Event
			c, err := New(Config{JetStream: newRig(t).js, Store: &holedStore{}, Emitter: "collector-0", Findings: func(_ context.Context, e ocsf.Event) { event = e }})
			if err != nil {
				t.Fatal(err)
			}
			c.tellStream(t.Context(), []streamChange{{change, 3, 9}})
			l := event.(*ocsf.ApplicationLifecycle)
			if version == ocsf.DefaultVersion { // which the emitter fills in
				l.App = &ocsf.Product{Name: "docket"}
			} else {
				l.Application = &ocsf.Application{Name: "docket"}
			}
			e := storetest.NewEpoch(t, "acme", "collector-0")
			e.Version = version
			entry := e.Seal(event)
			report, err := ocsf.Validate(entry.Raw, version, ocsf.ModeServer)
			if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
				t.Errorf("%s in OCSF %s: %+v, %v", change, version, report, err)
			}
		}
	}
}
