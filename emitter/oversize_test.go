// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

func takes(n int32) natstest.Option { return func(o *server.Options) { o.MaxPayload = n } }

// large returns n bytes of text.
func large(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

// evaluation returns an evaluation of payloads.
func evaluation(proposed, state string) *ocsf.APIActivity {
	e := event("acme", "")
	e.Metadata.EventCode = profile.KindEvaluation
	e.Metadata.Tags = []ocsf.KeyValueObject{{Name: profile.TagReplayGrade, Value: "full"}, {Name: profile.TagPhase, Value: "validate"}}
	e.ActionID = ocsf.ActionObserved
	e.API.Response = nil
	e.API.Request.Data = map[string]any{"proposed_operation": map[string]any{"x": proposed}, "current_state": map[string]any{"y": state}}
	return e
}

// Events up to the limit of the declared stream go through a real server, alone
// and among small ones.
func TestLargestEvents(t *testing.T) {
	s := natstest.Run(t, takes(8<<20))
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	e := start(t, t.TempDir(), s.Conn(t))
	text := large(maxEventBytes - 4<<10)
	var last Receipt
	for i := range 12 {
		payload := fmt.Sprint(i)
		if i%4 == 1 {
			payload = text
		}
		last = e.Emit(t.Context(), event("acme", payload))
	}
	if err := last.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	e.close()
	all := onStream(t, js)
	if n := len(audit(t, all)); n != 1 || e.State().Shrunk != 0 || payloads(all)[text] < 3 {
		t.Errorf("%d epochs, %+v", n, e.State())
	}
}

// Payloads that the server does not take are told by their digests, whole.
func TestPayloadsAreShrunk(t *testing.T) {
	s := natstest.Run(t, takes(64<<10))
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	nc := s.Conn(t)
	until(t, "a connection", nc.IsConnected)
	e := start(t, t.TempDir(), nc)
	text := large(100 << 10)
	result := event("acme", text)
	result.API.Response.Data = map[string]any{"allowed": true, "payload": text}
	for _, ev := range []ocsf.Event{evaluation("small", text), evaluation(text, "small"), result, event("acme", "fits")} {
		if err := e.Emit(t.Context(), ev).Streamed(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	// What has no payloads to leave out is refused, and stated.
	wordy := event("acme", "")
	wordy.Message = text
	if err := e.Emit(t.Context(), wordy).Spooled(within(t)); !errors.Is(err, ErrUnfit) {
		t.Errorf("an event of nothing but message: %v", err)
	}
	e.close()
	if s := e.State(); s.Shrunk != 3 || s.Aside != 0 || s.Declared != 1 {
		t.Errorf("state %+v", s)
	}
	object := func(name string) string { return sum([]byte(fmt.Sprintf(`{%q:%q}`, name, text))) }
	all := onStream(t, js)
	audit(t, all)
	for i, want := range [][]string{
		{
			`"current_state_digest":"` + object("y") + `"`, `"current_state_bytes":102408`, `"proposed_operation":{"x":"small"}`,
			`"name":"replay_grade","value":"partial"`, `"grade":"partial","why":"the event is `, `"is_truncated":true`,
		},
		{`"proposed_operation_digest":"` + object("x") + `"`, `"current_state":{"y":"small"}`, `"value":"none"`, `"untruncated_size":101`},
		{`"data":{"allowed":true,"bytes":102429,"digest":"sha256:`, `"is_truncated":true`},
		{`"payload":"fits"`},
	} {
		raw := string(all[i+1].raw)
		for _, w := range want {
			if !strings.Contains(raw, w) {
				t.Errorf("event %d does not hold %s:\n%s", i, w, raw)
			}
		}
		if strings.Contains(raw, text[:100]) {
			t.Errorf("event %d holds a part of the payload", i)
		}
		wantClean(t, fmt.Sprint("event ", i), ocsf.DefaultVersion, all[i+1].raw)
	}
}

// What is durable already and larger than what the server takes is told, waits,
// over restarts too, holds up nothing else, and arrives once a server takes it.
func TestSetAside(t *testing.T) {
	store, port := t.TempDir(), natstest.FreePort(t)
	at := func(o *server.Options) { o.StoreDir, o.Port = store, port }
	small := natstest.Run(t, takes(64<<10), at)
	js := small.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	dir, text := t.TempDir(), large(100<<10)
	offline, err := New(Config{Dir: dir, Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		payload := fmt.Sprint(i)
		if i == 4 {
			payload = text
		}
		if err := offline.Emit(t.Context(), event("acme", payload)).Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := offline.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	byStream := func(c *Config) { c.TrimBy = TrimByStream }
	for range 2 {
		e := start(t, dir, small.Conn(t), byStream)
		if err := e.Emit(t.Context(), event("acme", "after")).Streamed(within(t)); err != nil {
			t.Fatal(err)
		}
		state := e.State()
		if trouble := state.Troubles[troubleAside]; state.Aside != 1 || !strings.Contains(trouble, "hint: set max_payload") {
			t.Errorf("%d are aside; trouble %q", state.Aside, trouble)
		}
		if err := e.Close(within(t)); err == nil || !strings.Contains(err.Error(), "max_payload") {
			t.Errorf("close: %v", err)
		}
		<-e.done
	}
	have := payloads(onStream(t, js))
	if have["3"] == 0 || have["5"] == 0 || have["after"] == 0 || have[text] != 0 {
		t.Errorf("on the stream: %d payloads", len(have))
	}
	small.Stop()

	better := natstest.Run(t, takes(8<<20), at)
	e := start(t, dir, better.Conn(t), byStream)
	until(t, "nothing aside", func() bool { s := e.State(); return s.Aside == 0 && len(s.Troubles) == 0 })
	e.close()
	all := onStream(t, better.JetStream(t))
	if have := payloads(all); have[text] == 0 {
		t.Error("it never arrived")
	}
	if files, err := filepath.Glob(filepath.Join(dir, asideDir, "*")); err != nil || len(files) != 0 {
		t.Errorf("left aside: %v, %v", files, err)
	}
}

// What is set aside and cannot be read any more is told, with a copy of it, in each
// start: it stops neither the emitter nor what follows.
func TestDamagedAside(t *testing.T) {
	small := natstest.Run(t, takes(64<<10))
	js := small.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	offline, err := New(Config{Dir: dir, Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := offline.Emit(t.Context(), event("acme", large(100<<10))).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := offline.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	byStream := func(c *Config) { c.TrimBy = TrimByStream }
	e := start(t, dir, small.Conn(t), byStream)
	until(t, "it is aside", func() bool { return e.State().Aside == 1 })
	_ = e.Close(within(t)) // says that it waits
	<-e.done
	files, err := filepath.Glob(filepath.Join(dir, asideDir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("aside are %v: %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	for starts := range 2 {
		e = start(t, dir, small.Conn(t), byStream)
		if err := e.Emit(t.Context(), event("acme", "after")).Streamed(within(t)); err != nil {
			t.Fatal(err)
		}
		if s := e.State(); s.Aside != 0 || len(s.Troubles) != 0 {
			t.Errorf("%d are aside, troubles %v", s.Aside, s.Troubles)
		}
		e.close()
		told := map[string]bool{} // by uid: what was sent may be sent again
		for _, entry := range onStream(t, js) {
			if raw := string(entry.raw); strings.Contains(raw, filepath.Join(asideDir, filepath.Base(files[0]))) && strings.Contains(raw, `"copy":"damaged/`) {
				told[entry.MetadataUID] = true
			}
		}
		if len(told) != starts+1 {
			t.Errorf("after %d starts it was told %d times", starts+1, len(told))
		}
	}
	kept, err := filepath.Glob(filepath.Join(dir, damagedDir, "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept are %v: %v", kept, err)
	}
	if got, err := os.ReadFile(kept[0]); err != nil || string(got) != string(b) {
		t.Errorf("the copy has %d bytes, not %d: %v", len(got), len(b), err)
	}
}

// A receipt does not say streamed of what is set aside.
func TestReceiptOfWhatIsAside(t *testing.T) {
	s := natstest.Run(t, takes(64<<10))
	if err := stream.Apply(t.Context(), s.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	e := start(t, t.TempDir(), s.Conn(t)) // does not know yet what the server takes
	r := e.Emit(t.Context(), event("acme", large(100<<10)))
	if err := r.Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	s.Start()
	if err := e.Emit(t.Context(), event("acme", "after")).Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Streamed(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("streamed: %v", err)
	}
}
