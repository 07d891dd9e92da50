// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
)

// serve serves an interceptor on a socket until the test ends.
func serve(t *testing.T, impl interceptor.Interceptor) (endpoint string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "i.sock")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- remote.Serve(ctx, lis, impl) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "unix://" + path
}

func TestLoadOverTheWire(t *testing.T) {
	endpoint := serve(t, declares(binds("one", phases(validate, post), "s/m", "s/n"), binds("all", phases(validate))))
	text := allow + "[[interceptors]]\nname=\"a\"\ngrpc_endpoint=\"" + endpoint + "\"\naudience=\"x\"\n"
	plan := ForTest(t, write(t, text))
	if got, want := short(plan), "one[s/m s/n] validate+post_commit fail_closed/fail_open; all[] validate fail_closed/"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if plan.Bindings[0].Endpoint != endpoint {
		t.Errorf("endpoint %q", plan.Bindings[0].Endpoint)
	}
	if _, err := plan.Bindings[0].Impl.Evaluate(t.Context(), &interceptor.Evaluation{Phase: validate, Payload: interceptor.NewPayload(status.New(codes.OK, "").Proto())}); err != nil {
		t.Errorf("evaluate: %v", err)
	}

	f, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Warnings, "\n"); !strings.Contains(got, "its manifest decides") || !strings.Contains(got, "without a token") {
		t.Errorf("warnings: %s", got)
	}
}

func TestLinkedInPlaceOfTheEndpoint(t *testing.T) {
	text := allow + "[[interceptors]]\nname=\"a\"\ngrpc_endpoint=\"unix:///nowhere.sock\"\nsettings={n=3}\n"
	var got map[string]any
	made := Make("a", func(settings map[string]any) (interceptor.Interceptor, error) {
		got = settings
		return declares(binds("one", phases(validate))), nil
	})
	plan := ForTest(t, write(t, text), made)
	if plan.Bindings[0].Endpoint != "" || plan.Bindings[0].Impl == nil || got["n"] != 3.0 {
		t.Errorf("binding %+v, made from %v", plan.Bindings[0], got)
	}
	_, err := read(t, text, Make("a", func(map[string]any) (interceptor.Interceptor, error) { return nil, errors.New("n is odd") }))
	refused(t, err, "c.toml:6: interceptor \"a\": make it from its settings: n is odd", "")
	_, err = read(t, text, Local("a", nil))
	refused(t, err, "nil", "")
	_, err = read(t, text, Local("a", described{nil}))
	refused(t, err, "its manifest is nil", "")
}

// Link goes by the settings, in a file and in a recorded plan, and leaves what it
// does not know to the endpoint.
func TestLinkedByItsSettings(t *testing.T) {
	text := service1(`grpc_endpoint="http://x:1"`, `settings={kind="mine"}`) + "[[interceptors]]\nname=\"b\"\ngrpc_endpoint=\"http://x:2\"\n"
	link := Link(func(name string, settings map[string]any) (interceptor.Interceptor, error) {
		switch settings["kind"] {
		case "mine":
			return two, nil
		case "bad":
			return nil, errors.New("bad kind")
		}
		return nil, nil
	})
	closed := 0
	dialled := ""
	dial := Dialer(func(_ context.Context, e Endpoint) (Client, error) {
		dialled += e.Interceptor
		return closing{two, &closed}, nil
	})
	plan := ForTest(t, write(t, text), link, dial)
	if dialled != "b" {
		t.Errorf("dialled %q, want b alone", dialled)
	}
	recorded, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = FromPlan(recorded, link); err != nil {
		t.Fatal(err)
	}
	for _, b := range plan.Bindings {
		if linked := b.Interceptor == "a"; (b.Impl != nil) != linked || (b.Endpoint == "") != linked {
			t.Errorf("%s/%s at %q has implementation %v", b.Interceptor, b.ID, b.Endpoint, b.Impl)
		}
	}
	_, err = read(t, strings.Replace(text, "mine", "bad", 1), link, dial)
	refused(t, err, `interceptor "a": make it from its settings: bad kind`, "")
	if _, err = FromPlan(bytes.Replace(recorded, []byte("mine"), []byte("bad"), 1), link); err == nil {
		t.Error("accepted a recorded plan with a bad kind")
	}
}

func TestUnreachable(t *testing.T) {
	text := allow + "[[interceptors]]\nname=\"a\"\ngrpc_endpoint=\"unix:///nowhere/x.sock\"\ntimeout=\"50ms\"\n"
	_, err := read(t, text)
	refused(t, err, `c.toml:5: interceptor "a" at unix:///nowhere/x.sock does not answer: describe`, "start it first")
	if _, ok := status.FromError(err); !ok {
		t.Errorf("%v does not carry its cause", err)
	}

	cause := errors.New("no route")
	_, err = read(t, text, Dialer(func(context.Context, Endpoint) (Client, error) { return nil, cause }))
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err = Load(t.Context(), "no-such-file.toml"); err == nil {
		t.Error("a missing file was loaded")
	}
}

// closing counts what is closed.
type closing struct {
	described
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

// A file that is refused half-way leaves no connection behind.
func TestRefusedFileCloses(t *testing.T) {
	closed := 0
	dial := Dialer(func(_ context.Context, e Endpoint) (Client, error) {
		if e.Interceptor == "b" {
			return nil, errors.New("no route")
		}
		if e.URL != "http://x:1" || e.MaxResponseBytes != 1<<20 {
			t.Errorf("dialled %+v", e)
		}
		return closing{two, &closed}, nil
	})
	text := service1(`grpc_endpoint="http://x:1"`)
	if _, err := read(t, text+"[[interceptors]]\nname=\"b\"\ngrpc_endpoint=\"http://x:2\"\n", dial); err == nil || closed != 1 {
		t.Errorf("closed %d, %v", closed, err)
	}
	f, err := Parse(t.Context(), "c.toml", []byte(text), dial)
	if err != nil {
		t.Fatal(err)
	}
	if f.Close() != nil || f.Close() != nil || closed != 2 {
		t.Errorf("closed %d", closed)
	}
}

func TestFromPlan(t *testing.T) {
	f, err := read(t, service1(`settings={n=3,s="x"}`, `order=2`)+"[[interceptors]]\nname=\"b\"\n", Local("a", two), Local("b", two))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := interceptor.New(f.Plan, interceptor.Discard)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := json.Marshal(chain.Plan())
	if err != nil {
		t.Fatal(err)
	}
	var settings []any
	plan, err := FromPlan(recorded, Make("a", func(s map[string]any) (interceptor.Interceptor, error) {
		settings = append(settings, s)
		return two, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if plan.Digest() != chain.Plan().Digest() {
		t.Error("the plan is another one after it was recorded")
	}
	if d := cmp.Diff([]any{map[string]any{"n": 3.0, "s": "x"}}, settings); d != "" {
		t.Errorf("made from its settings, once: %s", d)
	}
	for _, b := range plan.Bindings {
		if (b.Impl != nil) != (b.Interceptor == "a") {
			t.Errorf("%s/%s has implementation %v", b.Interceptor, b.ID, b.Impl)
		}
	}
	for _, bad := range []string{"", "{", `{"bindings":[],"nonsense":1}`, string(recorded) + "{}"} {
		if _, err := FromPlan([]byte(bad)); err == nil {
			t.Errorf("accepted %.40q", bad)
		}
	}
	if _, err := FromPlan(recorded, Make("b", func(map[string]any) (interceptor.Interceptor, error) { return nil, errors.New("no") })); err == nil {
		t.Error("accepted without its implementation")
	}
}

func TestExplain(t *testing.T) {
	path := write(t, `
[gateway]
unmatched = "deny"
[audit]
deadline = "1s"
[[interceptors]]
name = "far"
grpc_endpoint = "http://127.0.0.1:1"
failure_policy = "fail_open"
[[interceptors.bindings]]
id = "one"
phases = ["validate"]
[[interceptors.bindings]]
id = "two"
[[interceptors.bindings]]
id = "three"
disabled = true
[[interceptors]]
name = "listed"
grpc_endpoint = "http://127.0.0.1:1"
binding_policy = "allowlist"
order = 3
[[interceptors.bindings]]
rpc = "s/m"
phases = ["modify_operation", "post_commit"]
[[interceptors]]
name = "near"
timeout = "2s"
`)
	e, err := Explain(path, Local("near", two))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if n, err := e.WriteTo(&out); err != nil || n == 0 {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(out.String(), path, "chain.toml")
	want := `chain.toml (docket format)
methods that no binding selects: deny (line 3)
audit: auto (default), deadline 1s (line 5), then release (default)
payloads in the record: full (default), of those over 262144 (default) bytes the digest

PHASE             INTERCEPTOR  BINDING                 ON                      IF IT FAILS                  ORDER                 AT
?                 far          two (binding, line 14)  ? (unknown)             fail_open (service, line 9)  0 (default)           http://127.0.0.1:1
?                 far          ? (unknown)             ? (unknown)             fail_open (service, line 9)  0 (default)           http://127.0.0.1:1
modify_operation  near         one (manifest)          s/m (manifest)          fail_closed (default)        0 (default)           in process
modify_operation  listed       ? (unknown)             s/m (binding, line 24)  fail_closed (default)        3 (service, line 22)  http://127.0.0.1:1
validate          far          one (binding, line 11)  ? (unknown)             fail_open (service, line 9)  0 (default)           http://127.0.0.1:1
validate          near         one (manifest)          s/m (manifest)          fail_closed (default)        0 (default)           in process
validate          near         two (manifest)          s/n (manifest)          fail_closed (default)        0 (default)           in process
post_commit       listed       ? (unknown)             s/m (binding, line 24)  fail_open (default)          3 (service, line 22)  http://127.0.0.1:1

LIMITS OF  TIMEOUT                RESPONSE BYTES     PATCHES       AT ONCE         WAITING
far        500ms (default)        1048576 (default)  32 (default)  1024 (default)  1024 (default)
near       2s (service, line 28)  1048576 (default)  32 (default)  1024 (default)  1024 (default)
listed     500ms (default)        1048576 (default)  32 (default)  1024 (default)  1024 (default)

unknown: the manifest of "far" was not read; what else it binds shows when it runs
unknown: the manifest of "listed" was not read; what else it binds shows when it runs
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s\n%s", d, got)
	}
	if _, err := Explain(path); err == nil || !strings.Contains(err.Error(), `"near" has no grpc_endpoint`) {
		t.Errorf("got %v", err)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Error(err)
	}
	if _, err := Explain("no-such-file.toml"); err == nil {
		t.Error("a missing file was explained")
	}
}

// slow answers Describe only when its time is up, and notes how much it had, and
// how often. Nobody waits for the last Describe: what it notes is read while it
// may be at it.
type slow struct {
	described
	connect, describe *atomic.Int64 // time.Durations
	tries             *atomic.Int64
}

func left(ctx context.Context) time.Duration {
	by, _ := ctx.Deadline()
	return time.Until(by)
}

func (s slow) Close() error { return nil }

func (s slow) Connect(ctx context.Context) error { s.connect.Store(int64(left(ctx))); return nil }

func (s slow) Describe(ctx context.Context) (*interceptor.Manifest, error) {
	s.describe.Store(int64(left(ctx)))
	s.tries.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// An interceptor describes itself within the timeout of its calls (S12). Making
// the connection is not part of that.
func TestDescribeHasTheTimeoutOfACall(t *testing.T) {
	var connect, describe, tries atomic.Int64
	dial := Dialer(func(context.Context, Endpoint) (Client, error) { return slow{two, &connect, &describe, &tries}, nil })
	_, err := read(t, service1(`grpc_endpoint="http://x:1"`, `timeout="20ms"`), dial)
	refused(t, err, `interceptor "a" at http://x:1 does not answer: describe: context deadline exceeded`, "start it first")
	for tries.Load() < describeTries { // the last may not have begun yet
		time.Sleep(time.Millisecond)
	}
	had, connecting := time.Duration(describe.Load()), time.Duration(connect.Load())
	if had > 20*time.Millisecond || connecting <= time.Second || tries.Load() > describeTries {
		t.Errorf("describe had %s, %d times, the connection %s", had, tries.Load(), connecting)
	}
}

// stuck describes itself never, or by a panic.
type stuck struct {
	described
	end func()
}

func (s stuck) Describe(context.Context) (*interceptor.Manifest, error) {
	s.end()
	return nil, nil
}

// An interceptor in process that does not come back from Describe, or panics, is
// an error of the load, and not the end of the process.
func TestDescribeThatDoesNotComeBack(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for want, end := range map[string]func(){
		"context deadline exceeded":      func() { <-hang },
		"describe panicked: no manifest": func() { panic("no manifest") },
		"describe ended its goroutine":   runtime.Goexit,
	} {
		_, err := read(t, service1(`timeout="10ms"`), Local("a", stuck{two, end}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
