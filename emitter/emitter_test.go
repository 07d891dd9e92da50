// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

// event returns a result event of tenant with payload, as the chain makes them.
func event(tenant, payload string) *ocsf.APIActivity {
	return &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational,
			ActionID: ocsf.ActionAllowed, DispositionID: ocsf.DispositionAllowed,
			Metadata: ocsf.Metadata{EventCode: profile.KindResult, TenantUID: tenant, CorrelationUID: newUID(), Profiles: []string{"security_control"}},
			Actor:    &ocsf.Actor{User: &ocsf.User{UID: "alice"}},
			API: &ocsf.API{
				Operation: "CreateSandbox", Service: &ocsf.Service{Name: "demo.v1.Sandboxes"},
				Request:  &ocsf.Request{UID: newUID()},
				Response: &ocsf.Response{Data: map[string]any{"payload": payload}},
			},
		},
		SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.1"},
	}
}

// fixture is an emitter on a directory, and on a server unless it has none.
type fixture struct {
	*Emitter
	t    *testing.T
	done chan struct{}
	stop context.CancelFunc
}

// start opens an emitter and runs it. It is closed with the test unless the
// test closed or crashed it before.
func start(t *testing.T, dir string, nc *nats.Conn, change ...func(*Config)) *fixture {
	t.Helper()
	cfg := Config{Dir: dir, Name: "gateway-0", Conn: nc}
	for _, c := range change {
		c(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fixture{Emitter: e, t: t, done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(f.done)
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = e.Close(ctx) // a test that minds calls close itself
		f.stop()
		<-f.done
	})
	return f
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.Close(within(f.t)); err != nil {
		f.t.Fatal(err)
	}
	<-f.done
}

// within bounds what a test waits for, generously: it is no measurement.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// stored is a message as the stream has it.
type stored struct {
	subject string
	header  nats.Header
	raw     []byte
	profile.Header
}

// onStream reads the whole stream.
func onStream(t testing.TB, js jetstream.JetStream) []stored {
	t.Helper()
	ctx := within(t)
	s, err := js.Stream(ctx, "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []stored
	if info.State.Msgs == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	for uint64(len(all)) < info.State.Msgs {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		h, err := profile.Check(m.Data())
		if err != nil {
			t.Fatalf("message %d: %v\n%s", len(all)+1, err, m.Data())
		}
		all = append(all, stored{m.Subject(), m.Headers(), m.Data(), h})
	}
	return all
}

// audit checks what every stream must satisfy and returns the events without
// repetitions, by epoch.
func audit(t testing.TB, all []stored) map[string][]stored {
	t.Helper()
	epochs := map[string][]stored{}
	var order []string
	for _, m := range all {
		if want := profile.Subject(profile.Prefix, m.Header); m.subject != want {
			t.Errorf("subject %q, want %q", m.subject, want)
		}
		if m.header.Get(profile.HeaderEventUID) != m.MetadataUID || m.header.Get(profile.HeaderEpoch) != m.Epoch ||
			m.header.Get(profile.HeaderSequence) != fmt.Sprint(m.Sequence) {
			t.Errorf("headers %v are not those of event %s", m.header, m.MetadataUID)
		}
		have := epochs[m.Epoch]
		if have == nil {
			order = append(order, m.Epoch)
		}
		switch n := int64(len(have)); {
		case m.Sequence <= n:
			if string(have[m.Sequence-1].raw) != string(m.raw) {
				t.Errorf("epoch %s sequence %d came twice with different bytes", m.Epoch, m.Sequence)
			}
			continue
		case m.Sequence > n+1:
			t.Fatalf("epoch %s: sequence %d follows %d", m.Epoch, m.Sequence, n)
		}
		prev := ""
		if len(have) > 0 {
			prev = have[len(have)-1].Fingerprint
		}
		if m.PrevFingerprint != prev {
			t.Errorf("epoch %s sequence %d: hash chain is broken", m.Epoch, m.Sequence)
		}
		epochs[m.Epoch] = append(have, m)
	}
	for _, id := range order {
		first := epochs[id][0]
		if first.Kind != profile.KindLifecycle || first.ActivityID != int32(ocsf.ApplicationLifecycleStart) {
			t.Errorf("epoch %s begins with %s", id, first.raw)
		}
	}
	return epochs
}

func TestOneEvent(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	e := start(t, t.TempDir(), s.Conn(t))
	r := e.Emit(t.Context(), event("acme", "hello"))
	if err := r.Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	e.close()
	all := onStream(t, js)
	epochs := audit(t, all)
	if len(all) != 3 || len(epochs) != 1 {
		t.Fatalf("%d messages in %d epochs, want start, event, stop in one", len(all), len(epochs))
	}
	if last := all[2]; last.ActivityID != int32(ocsf.ApplicationLifecycleStop) {
		t.Errorf("last event %s", last.raw)
	}
	t.Logf("%s", all[2].raw)
}
