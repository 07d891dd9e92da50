// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

func TestRefusesAWeakerStream(t *testing.T) {
	r := newRig(t)
	s, err := r.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	weak := s.CachedInfo().Config
	weak.Discard = jetstream.DiscardOld
	if _, err := r.js.UpdateStream(t.Context(), weak); err != nil {
		t.Fatal(err)
	}
	run := r.start()
	<-run.done
	var weaker *stream.WeakerError
	if err := run.stop(); !errors.As(err, &weaker) {
		t.Errorf("Run returned %v", err)
	}
	if err := r.js.DeleteStream(t.Context(), "DOCKET"); err != nil {
		t.Fatal(err)
	}
	run = r.start()
	<-run.done
	var missing *stream.MissingError
	if err := run.stop(); !errors.As(err, &missing) {
		t.Errorf("Run returned %v", err)
	}
}

// The server goes and comes back; the collector goes on where it was.
func TestServerRestart(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	run := r.start()
	r.drained(run)
	r.nats.Stop()
	r.nats.Start()
	more := append(e.Operation(), e.Stop())
	eventually(t, "publishing", func() bool {
		_, err := r.js.AccountInfo(t.Context())
		return err == nil
	})
	r.publish(more...)
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(sent, more...))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// A stream that was made anew counts from 1 again, below what the store has
// seen of the old one.
func TestStreamMadeAnew(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.js.DeleteStream(t.Context(), "DOCKET"); err != nil {
		t.Fatal(err)
	}
	if err := stream.Apply(t.Context(), r.js); err != nil {
		t.Fatal(err)
	}
	more := e.Operation()
	r.publish(sent[3])
	r.publish(more[:2]...)
	run = r.start()
	r.drained(run)
	r.publish(more[2])
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(sent, more...))
}

// broken is a store whose commits fail until mended.
type broken struct {
	Store
	fails int
	after bool // the commit is one, and the store says it is not
}

func (b *broken) Commit(ctx context.Context, batch store.Batch) (store.Committed, error) {
	if b.fails > 0 {
		b.fails--
		if b.after {
			if _, err := b.Store.Commit(ctx, batch); err != nil {
				return store.Committed{}, err
			}
		}
		return store.Committed{}, errors.New("disk full")
	}
	return b.Store.Commit(ctx, batch)
}

// A store that fails is asked again; nothing is acknowledged before, and what
// was taken back in the meantime is known.
func TestStoreFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		r := newRig(t)
		var b *broken
		run := r.start(func(c *Config) {
			b = &broken{Store: c.Store, fails: 2, after: after}
			c.Store = b
		})
		e := storetest.NewEpoch(t, "acme", "gateway-0")
		operation := storetest.NewUID()
		sent := []store.Entry{e.Start(), e.API(profile.KindEvaluation, operation, storetest.NewUID()), e.Stop()}
		r.publish(sent...)
		r.drained(run)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		r.wantExactly(sent)
		if told := r.danglingFindings(); told["dangling:"+operation] != 1 {
			t.Errorf("after=%v: told %v", after, told)
		}
	}
}

func TestKeepsPlans(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "docket", "gateway-0")
	plan, err := ocsf.Canonicalize([]byte(`{"bindings":[{"id":"b1"}],"unmatched":"deny"}`))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(plan)
	digest := hex.EncodeToString(sum[:])
	event := &ocsf.EntityManagement{
		ActivityID: ocsf.EntityManagementActivate,
		Base: ocsf.Base{
			Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"plan": "sha256:" + digest}},
		},
		Entity: &ocsf.ManagedEntity{UID: "sha256:" + digest, Data: map[string]any{"unmatched": "deny", "bindings": []any{map[string]any{"id": "b1"}}}},
	}
	r.publish(e.Seal(event))
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(r.dir, "plans", digest+".json"))
	if err != nil || string(got) != string(plan) {
		t.Errorf("kept plan is %s (%v)", got, err)
	}
}

// Messages go from the stream when every store has had them for long enough.
func TestPurge(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	r.publish(append([]store.Entry{e.Start()}, e.Operation()...)...)
	now := time.Now()
	run := r.start(func(c *Config) {
		c.Now = func() time.Time { return now }
	})
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	left := func() uint64 {
		s, err := r.js.Stream(t.Context(), "DOCKET")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}
	if n := left(); n != 4 {
		t.Fatalf("%d messages left of 4 before their time", n)
	}
	// Another store is behind: what it has not got stays.
	s, err := r.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "collector-other", AckPolicy: jetstream.AckAllPolicy})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := other.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(25 * time.Hour)
	run = r.start(func(c *Config) { c.Now = func() time.Time { return now } })
	r.publish(e.Operation()...)
	r.drained(run)
	eventually(t, "purge", func() bool { return left() == 6 })
}

func TestConfig(t *testing.T) {
	r := newRig(t)
	for name, cfg := range map[string]Config{
		"no JetStream":           {},
		"no store":               {JetStream: r.js},
		"name":                   {JetStream: r.js, Store: &broken{}, Name: "a.b"},
		"name of no key":         {JetStream: r.js, Store: &broken{}, Name: "a$b"},
		"findings of no emitter": {JetStream: r.js, Store: &broken{}, Findings: func(context.Context, ocsf.Event) {}},
		"negative limit":         {JetStream: r.js, Store: &broken{}, Keep: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
