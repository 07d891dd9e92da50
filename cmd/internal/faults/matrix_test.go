// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/grpcproxy"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const create = "demo.sandbox.v1.Sandboxes/CreateSandbox"

// An upstream counts its calls.
type upstream struct {
	sandboxv1.UnimplementedSandboxesServer
	mu    sync.Mutex
	given []*sandboxv1.CreateSandboxRequest // guarded by mu
}

func (u *upstream) CreateSandbox(_ context.Context, r *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.given = append(u.given, r)
	return &sandboxv1.CreateSandboxResponse{Sandbox: r.GetSandbox(), Session: &sandboxv1.Session{Id: "s-1"}}, nil
}

func serveUpstream(t testing.TB) (*upstream, string) {
	t.Helper()
	lis, endpoint := listen(t, "tcp")
	u, server := &upstream{}, grpc.NewServer(grpc.WaitForHandlers(true))
	sandboxv1.RegisterSandboxesServer(server, u)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve upstream: %v", err)
		}
	})
	return u, strings.TrimPrefix(endpoint, "http://")
}

// descriptors is the FileDescriptorSet of the upstream.
func descriptors(t testing.TB) []byte {
	t.Helper()
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(sandboxv1.File_demo_sandbox_v1_sandbox_proto)
	raw, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A journal keeps the events, sealed as the emitter seals them.
type journal struct {
	t    testing.TB
	mu   sync.Mutex
	link profile.Link
	raw  [][]byte
}

type spooled struct{ err error }

func (s spooled) Spooled(context.Context) error { return s.err }

func (j *journal) emit(_ context.Context, e ocsf.Event) activity.Ack {
	j.mu.Lock()
	defer j.mu.Unlock()
	raw, h, err := profile.SealHeader(e, j.link)
	if err != nil {
		j.t.Errorf("seal: %v", err)
		return spooled{err}
	}
	j.link.Sequence++
	j.link.PrevUID, j.link.PrevFingerprint, j.link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	j.raw = append(j.raw, raw)
	return spooled{}
}

// story reads the events back, one line each.
func (j *journal) story() (lines []string, detail string) {
	for _, raw := range j.raw {
		h, err := profile.Parse(raw)
		if err != nil {
			j.t.Fatal(err)
		}
		if h.Kind == profile.KindFinding {
			lines = append(lines, "finding")
			continue
		}
		r, err := activity.Read(raw)
		if err != nil {
			j.t.Fatal(err)
		}
		switch {
		case r.Failure != nil:
			lines = append(lines, fmt.Sprintf("failure %s: %s, %s under %s", r.Evaluation.Phase, r.Failure.Kind, r.Failure.Decision, r.Failure.Policy))
			detail = r.Failure.Detail
		case r.Result != nil:
			lines = append(lines, fmt.Sprintf("result %s: %s", r.Evaluation.Phase, r.Result.Decision))
		case r.Outcome != nil:
			line := fmt.Sprintf("outcome %s, ran %t, %s", r.Outcome.Decision, r.Outcome.Ran, r.Outcome.Status.Code())
			for _, p := range r.Outcome.Parts {
				if p.Failure != nil {
					line += fmt.Sprintf(", %s failed under %s: %s", p.Binding, p.Failure.Policy, p.Decision)
				}
			}
			lines = append(lines, line)
		default:
			lines = append(lines, "evaluation "+r.Evaluation.Phase.String())
		}
	}
	return lines, detail
}

// file is the chain file of a cell. In some, nothing but post_commit is bound, which
// governs nothing: the operation passes because it may.
func file(w *world, f *fault, policy interceptor.FailurePolicy) []byte {
	return fmt.Appendf(nil, `
[gateway]
listen = "127.0.0.1:0"
upstream = "http://127.0.0.1:1"
unmatched = "allow"
[[interceptors]]
name = "faulty"
grpc_endpoint = %q
timeout = %q
max_response_bytes = 4096
failure_policy = %q
`, w.endpoint, f.timeout, policy)
}

// A client closes what a cell's dial opened.
type client struct {
	interceptor.Interceptor
	close func() error
}

func (c client) Close() error { return c.close() }

func load(w *world, data []byte) (*chainfile.File, error) {
	var opts []chainfile.Option
	if w.dial != nil {
		opts = append(opts, chainfile.Dialer(func(ctx context.Context, e chainfile.Endpoint) (chainfile.Client, error) {
			i, closer, err := w.dial(ctx, e.URL)
			return client{i, closer}, err
		}))
	}
	return chainfile.Parse(w.t.Context(), "chain.toml", data, opts...)
}

var (
	phases   = []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit}
	policies = []interceptor.FailurePolicy{interceptor.FailClosed, interceptor.FailOpen, interceptor.Ignore}
	// Each fault comes over both kinds of connection.
	networks = map[interceptor.Phase]string{interceptor.ModifyOperation: "unix", interceptor.Validate: "tcp", interceptor.PostCommit: "unix"}
)

// TestFaultMatrix is faults x policies x phases. A policy that a phase does not
// have is refused when the file is loaded, with the interceptor in good health.
func TestFaultMatrix(t *testing.T) {
	set := descriptors(t)
	for _, f := range faults() {
		for _, policy := range policies {
			for _, phase := range phases {
				t.Run(f.name+"/"+policy.String()+"/"+phase.String(), func(t *testing.T) {
					t.Parallel()
					w := &world{t: t}
					f.serve(w, networks[phase], phase)
					cfg, err := load(w, file(w, &f, policy))
					if (policy == interceptor.Ignore) != (phase == interceptor.PostCommit) && policy != interceptor.FailOpen {
						if err == nil || !strings.Contains(err.Error(), policy.String()) {
							t.Fatalf("loaded, or refused for another reason: %v", err)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					defer func() {
						if err := cfg.Close(); err != nil {
							t.Error(err)
						}
					}()
					if w.broken != nil {
						w.broken()
					}
					(&cell{t: t, fault: &f, phase: phase, policy: policy, plan: cfg.Plan, descriptors: set}).play()
				})
			}
		}
	}
}

// TestLoadedWithABadToken: an interceptor that refuses to be asked for its
// manifest is no part of any plan, whatever the failure policy.
func TestLoadedWithABadToken(t *testing.T) {
	for name, tc := range map[string]struct {
		audience string
		ahead    time.Duration
		want     string
	}{
		"wrong audience": {audience: audience + "-2", want: "made out to another audience"},
		"expired token":  {audience: audience, ahead: 2 * remote.MaxTokenTTL, want: "has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t}
			signer := signed(w, "unix", interceptor.Validate, func() time.Time { return time.Now().Add(tc.ahead) })
			w.dial = func(ctx context.Context, endpoint string) (interceptor.Interceptor, func() error, error) {
				c, err := remote.Dial(ctx, endpoint, remote.Token(signer, tc.audience))
				return c, c.Close, err
			}
			if _, err := load(w, file(w, &fault{timeout: patient}, interceptor.FailOpen)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v; want %q", err, tc.want)
			}
		})
	}
}

// A cell is one run of the matrix.
type cell struct {
	t           testing.TB
	fault       *fault
	phase       interceptor.Phase
	policy      interceptor.FailurePolicy
	plan        *interceptor.Plan
	descriptors []byte
}

// play makes one call and holds what comes of it against what is to come of it.
func (c *cell) play() {
	t := c.t
	j := &journal{t: t, link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	chain, err := interceptor.New(c.plan, activity.NewRecorder(j.emit))
	if err != nil {
		t.Fatal(err)
	}
	up, address := serveUpstream(t)
	request := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "a"}}
	var trailer metadata.MD
	callErr := c.through(chain, address, func(conn *grpc.ClientConn) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := sandboxv1.NewSandboxesClient(conn).CreateSandbox(ctx, request, grpc.Trailer(&trailer))
		return err
	})
	// The bindings of post_commit outlive the call, but not the chain.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := chain.Close(ctx); err != nil {
		t.Fatal(err)
	}

	story, detail := j.story()
	if diff := cmp.Diff(c.wants(), story); diff != "" {
		t.Errorf("events: %s\n%s", diff, detail)
	}
	if !strings.Contains(detail, c.fault.detail) {
		t.Errorf("the recorded cause is %q; want %q in it", detail, c.fault.detail)
	}
	c.checkAnswer(callErr, trailer, detail)

	up.mu.Lock()
	defer up.mu.Unlock()
	if c.denies() {
		if len(up.given) > 0 {
			t.Error("the upstream was called")
		}
	} else if len(up.given) != 1 || !proto.Equal(up.given[0], request) {
		t.Errorf("the upstream was given %v", up.given)
	}
}

func (c *cell) denies() bool { return c.policy == interceptor.FailClosed }

// wants is the events of the cell.
func (c *cell) wants() []string {
	begun := "evaluation " + c.phase.String()
	failed := func(d interceptor.Decision) string {
		return fmt.Sprintf("failure %s: %s, %s under %s", c.phase, c.fault.kind, d, c.policy)
	}
	const passed = "outcome allow, ran true, OK"
	switch {
	case c.denies():
		return []string{begun, failed(interceptor.Deny), "outcome deny, ran false, PermissionDenied, b failed under fail_closed: deny"}
	case c.phase != interceptor.PostCommit:
		return []string{begun, failed(interceptor.Allow), "finding", passed + ", b failed under fail_open: allow"}
	case c.policy == interceptor.Ignore:
		return []string{passed, begun, failed(interceptor.None)}
	}
	return []string{passed, begun, failed(interceptor.Allow), "finding"}
}

// checkAnswer checks what the caller is told.
func (c *cell) checkAnswer(err error, trailer metadata.MD, detail string) {
	answer := status.Convert(err)
	want := codes.OK
	if c.denies() {
		want = codes.PermissionDenied
	}
	if answer.Code() != want {
		c.t.Errorf("the caller is answered %v; want %v", answer, want)
	}
	if c.denies() && (answer.Message() != "operation denied: a policy check failed" || len(answer.Details()) > 0) {
		c.t.Errorf("the caller is told %q of %q", answer.Message(), detail)
	}
	if uid := trailer.Get("docket-operation-uid"); len(uid) != 1 || uid[0] == "" {
		c.t.Errorf("the trailer names %q", uid)
	}
}

// through has a call go through a proxy of the chain.
func (c *cell) through(chain *interceptor.Chain, upstream string, call func(*grpc.ClientConn) error) error {
	t := c.t
	address, stop := serveProxy(t, chain, upstream, c.descriptors)
	defer stop()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return call(conn)
}

// serveProxy serves a proxy of the chain until it is stopped.
func serveProxy(t testing.TB, chain *interceptor.Chain, upstream string, descriptors []byte) (address string, stop func()) {
	t.Helper()
	up, err := grpcproxy.Dial("http://"+upstream, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := grpcproxy.New(grpcproxy.Config{Chain: chain, Upstream: up, Descriptors: descriptors})
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(ctx, lis) }()
	return lis.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = up.Close()
	}
}
