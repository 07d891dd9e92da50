// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// One of several streams, with its buckets: a contract with operators, who name
// all of it in permissions.
func TestSeveralStreamsGolden(t *testing.T) {
	d := Declared(Name("EU"), Emitters("gateway-eu-1", "docket-eu"), Replicas(3), MaxBytes(40<<30))
	got, err := json.MarshalIndent(map[string]any{
		"stream": d.Stream, "watermarks": d.Watermarks.Bucket, "leases": d.Leases.Bucket,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", "several.golden.json")
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(Declared(), Declared(Name(""), Name(DefaultName), Emitters()), cmp.AllowUnexported(Declaration{})); diff != "" {
		t.Errorf("the one stream is another with its own name:\n%s", diff)
	}
}

func TestStreamNames(t *testing.T) {
	for name, fine := range map[string]bool{
		"": true, "DOCKET": true, "eu-2_a": true, "a.b": false, "a b": false, "*": false, ">": false,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false,
	} {
		if err := CheckName(name); (err == nil) != fine {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Emitters come from the one stream to several, and from one of them to another:
// none is ever on two.
func TestAssignment(t *testing.T) {
	ctx := t.Context()
	js := natstest.Run(t).JetStream(t)
	apply := func(opts ...Option) {
		t.Helper()
		for range 2 { // applying twice changes nothing
			if err := Apply(ctx, js, opts...); err != nil {
				t.Fatal(err)
			}
		}
		if err := Check(ctx, js, opts...); err != nil {
			t.Fatal(err)
		}
	}
	assigned := func(name string, want ...string) {
		t.Helper()
		s, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		got, all := Assigned(s.CachedInfo().Config.Subjects)
		if diff := cmp.Diff(want, got); diff != "" || all != (len(want) == 0) {
			t.Errorf("stream %s, for all %t (-want +got):\n%s", name, all, diff)
		}
	}
	apply()
	assigned("DOCKET")
	s, err := js.Stream(ctx, "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Subjects = append(c.Subjects, "other.>")
	if _, err := js.UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}

	var api *jetstream.APIError
	if err := Apply(ctx, js, Name("EU"), Emitters("c")); !errors.As(err, &api) || api.ErrorCode != 10065 {
		t.Errorf("a stream whose emitters another one has: %v", err)
	}
	apply(Emitters("a", "b"))
	apply(Name("EU"), Emitters("c"))
	assigned("DOCKET", "a", "b")
	assigned("EU", "c")
	apply(AnyEmitters()) // as it is
	assigned("DOCKET", "a", "b")
	if s, err = js.Stream(ctx, "DOCKET"); err != nil || s.CachedInfo().Config.Subjects[0] != "other.>" {
		t.Errorf("what is not Docket's is gone: %v, %v", s.CachedInfo().Config.Subjects, err)
	}

	apply(Emitters("a"))
	apply(Name("EU"), Emitters("c", "b"))
	assigned("DOCKET", "a")
	assigned("EU", "c", "b")
	var weaker *WeakerError
	if err := Check(ctx, js, Emitters("b")); !errors.As(err, &weaker) || !strings.Contains(weaker.Hint(), "--emitter") {
		t.Errorf("an emitter on a stream that is not its own: %v", err)
	}
	for _, name := range []string{"docket_watermarks", "docket_leases", "docket_watermarks_EU", "docket_leases_EU"} {
		if _, err := js.KeyValue(ctx, name); err != nil {
			t.Errorf("bucket %s: %v", name, err)
		}
	}
	// Subjects by tenant are no assignment: whoever reads the stream would miss others.
	if got, all := Assigned([]string{"docket.activity.acme.>", "docket.activity.*.*.*.*.*.a.b"}); got != nil || all {
		t.Errorf("assigned to %v, all %t", got, all)
	}
}
