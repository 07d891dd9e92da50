// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/internal/natstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// The declaration is a contract with operators: what design promises of the
// stream must be in the file.
func TestDeclaration(t *testing.T) {
	d := Declared()
	s := d.Stream
	if s.Name != "DOCKET" || s.Storage != jetstream.FileStorage || s.Discard != jetstream.DiscardNew || !s.AllowAtomicPublish ||
		s.Retention != jetstream.LimitsPolicy || s.MaxAge != 0 || s.MaxBytes <= 0 || s.Replicas < 1 || s.NoAck {
		t.Errorf("declared stream promises too little: %+v", s)
	}
	if diff := cmp.Diff([]string{"docket.activity.>"}, s.Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if d.Watermarks.Bucket != "docket_watermarks" {
		t.Errorf("bucket %q", d.Watermarks.Bucket)
	}
	if w := Weaker(s, s); w != nil {
		t.Errorf("the declaration is weaker than itself: %v", w)
	}
	if d := Declared(Replicas(3), MaxBytes(1)); d.Stream.Replicas != 3 || d.Watermarks.Replicas != 3 || d.Stream.MaxBytes != 1 {
		t.Errorf("options are not applied: %+v", d)
	}
}

func TestWeaker(t *testing.T) {
	tests := map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string // field; "" for none
	}{
		"same":                        {func(*jetstream.StreamConfig) {}, ""},
		"storage":                     {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage"},
		"retention":                   {func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "retention"},
		"discard":                     {func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard"},
		"atomic":                      {func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, "allow_atomic"},
		"async":                       {func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist_mode"},
		"no ack":                      {func(c *jetstream.StreamConfig) { c.NoAck = true }, "no_ack"},
		"age":                         {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age"},
		"per subject":                 {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, "max_msgs_per_subject"},
		"per subject, new refused":    {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 5, true }, ""},
		"message size":                {func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }, "max_msg_size"},
		"message size unlimited":      {func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }, ""},
		"replicas":                    {func(c *jetstream.StreamConfig) { c.Replicas = 0 }, "num_replicas"},
		"more replicas":               {func(c *jetstream.StreamConfig) { c.Replicas = 3 }, ""},
		"transform":                   {func(c *jetstream.StreamConfig) { c.SubjectTransform = &jetstream.SubjectTransformConfig{} }, "subject_transform"},
		"mirror":                      {func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{} }, "mirror"},
		"subjects too narrow":         {func(c *jetstream.StreamConfig) { c.Subjects = []string{"docket.activity.acme.>"} }, "subjects"},
		"subjects one token only":     {func(c *jetstream.StreamConfig) { c.Subjects = []string{"docket.activity.*"} }, "subjects"},
		"subjects wider":              {func(c *jetstream.StreamConfig) { c.Subjects = []string{"docket.>"} }, ""},
		"subjects beside another one": {func(c *jetstream.StreamConfig) { c.Subjects = []string{"other", "docket.activity.>"} }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := Declared().Stream
			tt.change(&found)
			var fields []string
			for _, d := range Weaker(found, Declared().Stream) {
				fields = append(fields, d.Field)
				if d.Found == d.Wanted {
					t.Errorf("difference tells nothing: %+v", d)
				}
			}
			if got := strings.Join(fields, " "); got != tt.want {
				t.Errorf("weaker in %q, want %q", got, tt.want)
			}
		})
	}
}

func TestApplyAndCheck(t *testing.T) {
	ctx := t.Context()
	js := natstest.Run(t).JetStream(t)

	err := Check(ctx, js)
	var missing *MissingError
	if !errors.As(err, &missing) || !errors.Is(err, jetstream.ErrStreamNotFound) || missing.Hint() == "" {
		t.Fatalf("check without a stream: %v", err)
	}
	if _, err := Bucket(ctx, js); !errors.As(err, &missing) {
		t.Fatalf("bucket before apply: %v", err)
	}
	for range 2 { // applying twice changes nothing
		if err := Apply(ctx, js); err != nil {
			t.Fatal(err)
		}
		if err := Check(ctx, js); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(ctx, js, Replicas(3)); err == nil || !strings.Contains(err.Error(), "num_replicas is 1, wanted 3") {
		t.Errorf("check for three replicas: %v", err)
	}
}

// Apply brings up what a server lets one change, leaves what is stronger, and
// names what it cannot change.
func TestApplyStrengthens(t *testing.T) {
	ctx := t.Context()
	js := natstest.Run(t).JetStream(t)
	weak := jetstream.StreamConfig{
		Name: "DOCKET", Subjects: []string{"docket.activity.acme.>", "extra"}, Discard: jetstream.DiscardOld,
		MaxAge: time.Hour, MaxMsgsPerSubject: 3, MaxMsgSize: 100, MaxBytes: 20 << 30, Compression: jetstream.S2Compression,
	}
	if _, err := js.CreateStream(ctx, weak); err != nil {
		t.Fatal(err)
	}
	var weaker *WeakerError
	if err := Check(ctx, js); !errors.As(err, &weaker) || weaker.Hint() != "run docket stream apply" {
		t.Fatalf("check: %v", err)
	}
	if err := Apply(ctx, js); err != nil {
		t.Fatal(err)
	}
	if err := Check(ctx, js); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(ctx, "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if diff := cmp.Diff([]string{"extra", "docket.activity.>"}, c.Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if c.MaxBytes != 20<<30 || c.Compression != jetstream.S2Compression {
		t.Errorf("what was the operator's is gone: %+v", c)
	}
}

func TestApplyRefusesMemory(t *testing.T) {
	ctx := t.Context()
	js := natstest.Run(t).JetStream(t)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "DOCKET", Subjects: []string{"docket.activity.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	var weaker *WeakerError
	err := Apply(ctx, js)
	if !errors.As(err, &weaker) || len(weaker.Differences) != 1 || weaker.Differences[0] != (Difference{"storage", "memory", "file"}) {
		t.Fatalf("apply over a stream in memory: %v", err)
	}
	if !strings.Contains(weaker.Hint(), "storage") {
		t.Errorf("hint %q", weaker.Hint())
	}
}

func TestWatermarks(t *testing.T) {
	ctx := t.Context()
	js := natstest.Run(t).JetStream(t)
	if err := Apply(ctx, js); err != nil {
		t.Fatal(err)
	}
	kv, err := Bucket(ctx, js)
	if err != nil {
		t.Fatal(err)
	}
	first := Watermark{Store: "lake", Epoch: "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e", Sequence: 7}
	for _, w := range []Watermark{{Store: "lake", Epoch: first.Epoch, Sequence: 3}, first} {
		if err := PutWatermark(ctx, kv, w); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []Watermark{{}, {Store: "a.b", Epoch: "e"}, {Store: "a", Epoch: "*"}} {
		if err := PutWatermark(ctx, kv, w); err == nil {
			t.Errorf("put of %+v succeeded", w)
		}
	}
	if _, err := kv.PutString(ctx, "lake.garbage", "x"); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got []Watermark
	second := Watermark{Store: "lake", Epoch: first.Epoch, Sequence: 9}
	err = WatchWatermarks(ctx, kv, func(w Watermark) {
		got = append(got, w)
		if w == second {
			cancel()
		}
	}, func() {
		if err := PutWatermark(ctx, kv, second); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("watch ended with %v", err)
	}
	if diff := cmp.Diff([]Watermark{first, second}, got); diff != "" {
		t.Errorf("watermarks (-want +got):\n%s", diff)
	}
}

func FuzzCovers(f *testing.F) {
	f.Add("a.>", "a.b.c")
	f.Add("a.*", "a.>")
	f.Fuzz(func(t *testing.T, pattern, wanted string) {
		if !covers(wanted, wanted) && !strings.Contains(wanted, ">") {
			t.Errorf("%q does not cover itself", wanted)
		}
		_ = covers(pattern, wanted) // must not panic
	})
}
