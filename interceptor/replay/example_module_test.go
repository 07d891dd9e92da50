// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

var exampleModule = filepath.Join("..", "..", "examples", "replaytest")

// TestExampleModule runs the example's own test as its users would, with its
// own go.mod and go.sum.
func TestExampleModule(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...")
	cmd.Dir = exampleModule
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("go test in %s: %v\n%s", exampleModule, err, out)
	}
}

// TestExampleHistory keeps the example's recording as the chain would make it:
// forty sandboxes, of which twelve ran as root, when that was still allowed.
func TestExampleHistory(t *testing.T) {
	n := 0
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "01955a3c-0000-7000-8000-00000000e003", Sequence: 1}}
	now := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	next := func(group string) func() string {
		return func() string { n++; return fmt.Sprintf("01955a3c-%s-7000-8000-%012d", group, n) }
	}
	clock := func() time.Time { now = now.Add(7 * time.Millisecond); return now }
	chain, err := interceptor.New(&interceptor.Plan{
		Unmatched: interceptor.UnmatchedAllow,
		Bindings: []interceptor.Binding{{
			Interceptor: "no-root", ID: "no-root", RPCs: []string{"demo.sandbox.v1.Sandboxes/CreateSandbox"},
			Phases: []interceptor.Phase{interceptor.Validate}, Impl: watch(), Endpoint: "unix:///run/docket/no-root.sock",
		}},
	}, activity.NewRecorder(h.emit, activity.WithGateway("gateway-0"), activity.WithVersion("0.1.0"), activity.WithClock(clock), activity.WithUIDs(next("2000"))))
	if err != nil {
		t.Fatal(err)
	}
	uid := next("4000")
	chain.Now, chain.NewUID = clock, func() interceptor.UID { return interceptor.UID(uid()) }
	for i := range 40 {
		user := "app"
		if i%10 < 3 {
			user = "root"
		}
		request, err := structpb.NewStruct(map[string]any{"name": fmt.Sprintf("sandbox-%d", i), "spec": map[string]any{"image": "registry.example/base:1", "runAsUser": user}})
		if err != nil {
			t.Fatal(err)
		}
		chain.Run(context.Background(), &interceptor.Operation{
			Tenant: []string{"acme", "globex"}[i%2], Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox",
			Principal: map[string]string{"kind": "user", "subject": fmt.Sprintf("user-%d", i%7)}, Request: request, Start: clock(),
		}, handler)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Join(h.raw, []byte("\n")), '\n')

	file := filepath.Join(exampleModule, "testdata", "march.ndjson.gz")
	if *update {
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, z.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the chain records; run the test with -update", file)
	}
}
