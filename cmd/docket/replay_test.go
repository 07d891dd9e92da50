// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// operations is how many a recorded directory holds.
const operations = 10

// A judge is a user's own interceptor that counts its calls.
type judge struct {
	interceptor.Func
	calls atomic.Int64
}

func judging(decide func() (*interceptor.Result, error)) *judge {
	j := &judge{}
	j.Func = func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		j.calls.Add(1)
		return decide()
	}
	return j
}

func allowing() *judge {
	return judging(func() (*interceptor.Result, error) { return &interceptor.Result{Decision: interceptor.Allow}, nil })
}

// serveJudge serves an interceptor until it is stopped or the test ends.
func serveJudge(t *testing.T, endpoint string, i interceptor.Interceptor) (stop func()) {
	t.Helper()
	lis, err := net.Listen("unix", strings.TrimPrefix(endpoint, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- remote.Serve(ctx, lis, i) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

type durable struct{}

func (durable) Spooled(context.Context) error { return nil }

// recordedBy makes a data directory in which bindings have judged operations.
func recordedBy(t *testing.T, bindings ...interceptor.Binding) string {
	t.Helper()
	return recorded(t, operations, bindings...)
}

// recorded makes one with n operations.
func recorded(t *testing.T, n int, bindings ...interceptor.Binding) string {
	t.Helper()
	dir := t.TempDir()
	link := profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}
	var batch store.Batch
	var mu sync.Mutex // bindings of post_commit end while the next operation runs
	chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: bindings}, activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		mu.Lock()
		defer mu.Unlock()
		e.Common().Metadata.Product = &ocsf.Product{Name: "docket"}
		raw, fingerprint, err := profile.Seal(e, link)
		if err != nil {
			t.Error(err)
			return durable{}
		}
		header, err := profile.Parse(raw)
		if err != nil {
			t.Error(err)
			return durable{}
		}
		batch.StreamSeq++
		batch.Entries = append(batch.Entries, store.Entry{Raw: raw, Header: header, StreamSeq: batch.StreamSeq})
		link.Sequence++
		link.PrevUID, link.PrevFingerprint = e.Common().Metadata.UID, fingerprint
		return durable{}
	}))
	if err != nil {
		t.Fatal(err)
	}
	var now atomic.Int64 // bindings of post_commit look at it while the next operation runs
	chain.Now = func() time.Time { return time.UnixMilli(now.Load()) }
	for n := range n {
		now.Store(1_793_215_000_000 + int64(n))
		clock := time.UnixMilli(now.Load())
		request, err := structpb.NewStruct(map[string]any{"name": fmt.Sprintf("box-%d", n)})
		if err != nil {
			t.Fatal(err)
		}
		chain.Run(t.Context(), &interceptor.Operation{
			UID: interceptor.UID(fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", n)), Tenant: "acme",
			Service: "boxes.v1.Boxes", Method: "CreateBox", Request: request, Start: clock,
		}, func(_ context.Context, m proto.Message) (proto.Message, error) { return m, nil })
	}
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan, err := json.Marshal(chain.Plan())
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "FORMAT"), "1\n")
	writeFile(t, filepath.Join(dir, "plans", strings.TrimPrefix(chain.Plan().Digest(), "sha256:")+".json"), string(plan))
	l, err := lake.Open(filepath.Join(dir, "lake"), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// docketRun runs a verb in this process.
func docketRun(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = cli.Run(root(), args, &out, &errs)
	return out.String(), errs.String(), code
}

func endpointIn(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "docket-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return "unix://" + filepath.Join(dir, name)
}

func bindingOf(name, endpoint string, impl interceptor.Interceptor, settings map[string]any) interceptor.Binding {
	return interceptor.Binding{
		Interceptor: name, ID: name, Endpoint: endpoint, Settings: settings, Impl: impl,
		Phases: []interceptor.Phase{interceptor.Validate},
	}
}

func wantReplay(t *testing.T, wantCode int, wantCounts, wantErrors []string, args ...string) {
	t.Helper()
	stdout, stderr, code := docketRun(append([]string{"replay", "-o", "json"}, args...)...)
	if code != wantCode {
		t.Errorf("exit %d, want %d", code, wantCode)
	}
	for _, want := range wantCounts {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
	for _, want := range wantErrors {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
}

// A user's interceptor is called where the recorded plan says it is served, also
// when it has the name of one of the demo's.
func TestReplayDialsTheRecordedEndpoints(t *testing.T) {
	at, before := endpointIn(t, "images.sock"), allowing()
	dir := recordedBy(t, bindingOf("images", at, before, nil))
	now := allowing()
	stop := serveJudge(t, at, now)
	wantReplay(t, cli.ExitOK, []string{`"replayed": 10`, `"reexecuted": 10`, `"same": 10`}, []string{"docket: dialled: images at " + at}, "--data", dir)
	if now.calls.Load() != operations {
		t.Errorf("the user's interceptor was called %d times", now.calls.Load())
	}
	stop()

	denying := judging(func() (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "changed"}, nil
	})
	stop = serveJudge(t, at, denying)
	wantReplay(t, cli.ExitFound, []string{`"reexecuted": 10`, `"flips": 10`}, nil, "--data", dir)
	stop()

	// Nobody answers any more: that is told, and shows nothing.
	wantReplay(t, cli.ExitPartial, []string{`"replayed": 10`, `"reexecuted": 0`, `"same": 10`}, []string{
		"warning: images at " + at + " does not answer and is answered for from the record",
		"docket: no evaluation was re-executed", "\nhint: start the interceptors",
	}, "--data", dir)
}

// What is linked is for the settings to say, in a recorded plan and in a file.
func TestReplayLinksTheDemosAlone(t *testing.T) {
	at := endpointIn(t, "mine.sock")
	mine := allowing()
	serveJudge(t, at, mine)
	dir := recordedBy(t,
		bindingOf("mine", at, allowing(), nil),
		bindingOf("theirs", "unix:///nowhere.sock", allowing(), map[string]any{"demo": "images", "allow": []any{""}}))
	both := []string{"docket: linked in process: theirs\n", "docket: dialled: mine at " + at}
	wantReplay(t, cli.ExitOK, []string{`"replayed": 20`, `"reexecuted": 20`, `"same": 10`}, both, "--data", dir)

	candidate := filepath.Join(t.TempDir(), "chain.toml")
	writeFile(t, candidate, "[gateway]\nunmatched = \"allow\"\n[[interceptors]]\nname = \"images\"\ngrpc_endpoint = \""+at+"\"\n")
	mine.calls.Store(0)
	wantReplay(t, cli.ExitOK, []string{`"reexecuted": 20`}, []string{"docket: dialled: images at " + at}, "--data", dir, "--chain", candidate)
	if mine.calls.Load() != 2*operations { // its manifest has two phases
		t.Errorf("the user's images was called %d times, want %d", mine.calls.Load(), 2*operations)
	}
}

// Part of the plan is answered for from the record: the replay says how little
// that shows.
func TestReplayWarnsOfFewExecuted(t *testing.T) {
	at := endpointIn(t, "mine.sock")
	serveJudge(t, at, allowing())
	dir := recordedBy(t, bindingOf("mine", at, allowing(), nil), bindingOf("gone", "http://127.0.0.1:1", allowing(), nil), bindingOf("linked", "", allowing(), nil))
	wantReplay(t, cli.ExitOK, []string{`"replayed": 30`, `"reexecuted": 10`}, []string{
		"docket: warning: 33% of the evaluations were re-executed", "warning: gone at http://127.0.0.1:1 does not answer",
		"warning: linked does not answer and is answered for from the record: it ran in the process",
	}, "--data", dir)
}

// What an interceptor answers otherwise each time is learned, told, and passed
// over.
func TestReplayLearnsNoise(t *testing.T) {
	at := endpointIn(t, "boxes.sock")
	noisy := &judge{}
	noisy.Func = func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow, Annotations: map[string]string{"call": fmt.Sprint(noisy.calls.Add(1))}}, nil
	}
	dir := recordedBy(t, bindingOf("boxes", at, noisy, nil))
	serveJudge(t, at, noisy)
	wantReplay(t, cli.ExitFound, []string{`"annotation_diffs": 10`}, []string{"docket: the replay fails: annotation-diff 10"}, "--data", dir)
	noisy.calls.Store(100)
	wantReplay(t, cli.ExitOK, []string{`"annotation_diffs": 0`, `"same": 10`, `"field": "annotation call"`, `"learned": 10`, `"excluded": 10`}, nil, "--data", dir, "--learn-noise")
	if n := noisy.calls.Load(); n != 100+3*operations {
		t.Errorf("%d calls, want three for each operation", n-100)
	}
}
