// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // callers may compress their requests
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// DefaultMaxRequestBytes is the size of the greatest governed request.
const DefaultMaxRequestBytes = 1 << 20

// A Config says how calls are governed. Chain is required, and Upstream for a
// proxy.
type Config struct {
	Chain    *interceptor.Chain
	Upstream grpc.ClientConnInterface // see [Dial]

	// Descriptors is a FileDescriptorSet with all imports. Without it the
	// upstream's reflection is asked.
	Descriptors []byte

	// Tenant and Principal say whose a call is. The default is the tenant
	// "default" and an anonymous principal, whatever the caller sends. A governed
	// call for which one of them fails is refused, with the status that the error is, or
	// UNAUTHENTICATED.
	Tenant    func(metadata.MD) (string, error)
	Principal func(context.Context, metadata.MD) (map[string]string, error)

	// Attributes are names of headers that bindings may be granted to see, as
	// attribute "request.headers.NAME". One that carries credentials is an error.
	Attributes []string

	// Metadata makes of the caller's metadata the metadata namespaces that an
	// operation comes with; the default is none. It is shown no credentials. What
	// it returns is made of JSON's types, and is not changed afterwards. See
	// [MetadataFrom].
	Metadata func(metadata.MD) map[string]map[string]any

	MaxRequestBytes int           // of governed requests; default DefaultMaxRequestBytes
	Grace           time.Duration // for calls under way when Serve ends; default 5 s

	ServerOptions []grpc.ServerOption // added to those of the proxy's server
	Logger        *slog.Logger        // default: discard
	Meter         metric.MeterProvider
	Now           func() time.Time // default time.Now
}

func (c *Config) fill() error {
	if c.Chain == nil {
		return errors.New("make proxy: no chain")
	}
	for _, header := range c.Attributes {
		if isCredential(header) {
			return fmt.Errorf("make proxy: header %q carries credentials, which no interceptor sees", header)
		}
	}
	if c.Tenant == nil {
		c.Tenant = func(metadata.MD) (string, error) { return "", nil }
	}
	if c.Principal == nil {
		c.Principal = func(context.Context, metadata.MD) (map[string]string, error) { return anonymous(), nil }
	}
	if c.MaxRequestBytes <= 0 {
		c.MaxRequestBytes = DefaultMaxRequestBytes
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// A Proxy is a reverse proxy that governs the calls of one upstream.
type Proxy struct {
	cfg         Config
	names       atomic.Pointer[naming] // of the plan in force, when it was last asked for
	descriptors descriptors
	metrics     *metrics
	log         *slog.Logger

	// running counts the goroutines that carry a caller's messages upstream,
	// which end with their call, and the one that watches the upstream.
	running sync.WaitGroup
}

// naming is which methods a plan's bindings name, as "service/method".
type naming struct {
	plan *interceptor.Plan
	rpcs map[string]bool
}

func namedBy(plan *interceptor.Plan) *naming {
	n := &naming{plan: plan, rpcs: map[string]bool{}}
	for _, b := range plan.Bindings {
		for _, rpc := range b.RPCs {
			n.rpcs[rpc] = true
		}
	}
	return n
}

// named reports whether a binding of the plan names the method.
func (p *Proxy) named(plan *interceptor.Plan, rpc string) bool {
	n := p.names.Load()
	if n == nil || n.plan != plan {
		n = namedBy(plan)
		p.names.Store(n)
	}
	return n.rpcs[rpc]
}

// New makes a proxy. With a FileDescriptorSet it refuses a plan that names a
// method which cannot be governed; without one, [Proxy.Check] does.
func New(cfg Config) (*Proxy, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if cfg.Upstream == nil {
		return nil, errors.New("make proxy: no upstream")
	}
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("make proxy: %w", err)
	}
	p := &Proxy{cfg: cfg, metrics: m, log: cfg.Logger.With("component", "grpcproxy")}
	if cfg.Descriptors == nil {
		p.descriptors = newReflected(cfg.Upstream, cfg.Now)
		return p, nil
	}
	if p.descriptors, err = newFixed(cfg.Descriptors); err != nil {
		return nil, err
	}
	return p, p.Check(context.Background())
}

// Check finds out whether every method that a binding names can be governed.
// Without a FileDescriptorSet it asks the upstream. A method that cannot is a
// [*MethodError].
func (p *Proxy) Check(ctx context.Context) error { return p.CheckPlan(ctx, p.cfg.Chain.Plan()) }

// CheckPlan is [Proxy.Check] of a plan that is not in force, before it is swapped
// in.
func (p *Proxy) CheckPlan(ctx context.Context, plan *interceptor.Plan) error {
	var errs []error
	for _, rpc := range slices.Sorted(maps.Keys(namedBy(plan).rpcs)) {
		service, name, _ := strings.Cut(rpc, "/")
		m, err := p.descriptors.find(ctx, service, name)
		switch {
		case errors.Is(err, ErrNoDescriptor):
			errs = append(errs, &MethodError{RPC: rpc, Err: err})
		case err != nil:
			return fmt.Errorf("check governed methods: %w", err)
		case m.streaming():
			errs = append(errs, &MethodError{RPC: rpc, Err: ErrStreaming})
		}
	}
	return errors.Join(errs...)
}

// Ungoverned returns how many calls of each method passed ungoverned so far,
// by "service/method". Names beyond the first thousand are counted as "other":
// callers can make up names without end.
func (p *Proxy) Ungoverned() map[string]int64 { return p.metrics.ungovernedCalls() }

// maxStreams bounds the calls under way of one connection. A caller who wants more
// makes another connection.
const maxStreams = 1024

// maxHeaderBytes bounds a call's metadata, as HTTP/2 counts it.
const maxHeaderBytes = 64 << 10

// handshakeWithin is how long a caller may take to connect. A server that is to stop
// waits for it: who connects and never says more must not keep it.
const handshakeWithin = 5 * time.Second

// Serve answers calls on the listener until ctx ends, then waits for those
// under way as long as Config.Grace says. It closes the listener.
func (p *Proxy) Serve(ctx context.Context, lis net.Listener) error {
	srv := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.UnknownServiceHandler(p.handle),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		// What is recorded of a call's metadata, its method's name included, must
		// fit into an event.
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.WaitForHandlers(true),
		grpc.ConnectionTimeout(handshakeWithin),
		// Clients of other languages ping more often than grpc-go allows.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}, p.cfg.ServerOptions...)...)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	defer p.running.Wait()
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx)) // calls under way need it, too
	defer unwatch()
	p.running.Go(func() { p.descriptors.watch(watched) })
	select {
	case err := <-served:
		srv.Stop()
		return fmt.Errorf("serve proxy: %w", err)
	case <-ctx.Done():
	}
	impatient := time.AfterFunc(p.cfg.Grace, srv.Stop)
	defer impatient.Stop()
	srv.GracefulStop()
	// A server that was stopped before it began to serve says so.
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve proxy: %w", err)
	}
	return nil
}

// handle answers every call.
func (p *Proxy) handle(_ any, ss grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(ss)
	service, name, ok := splitMethod(full)
	if !ok {
		return status.Errorf(codes.Unimplemented, "malformed method name %q", full)
	}
	plan := p.cfg.Chain.Plan()
	if !plan.Governs(service, name) {
		return p.ungoverned(ss, plan, service, name)
	}
	m, err := p.descriptors.find(ss.Context(), service, name)
	if err != nil {
		return p.undescribed(ss, service, name, err)
	}
	switch {
	case !m.streaming():
		return p.governed(ss, service, m)
	case p.named(plan, service+"/"+name):
		return p.refuse(ss, p.begin(ss, service, name), "streaming", streamed(service, name))
	default:
		return p.ungoverned(ss, plan, service, name)
	}
}

// undescribed refuses a governed call that cannot be decoded.
func (p *Proxy) undescribed(ss grpc.ServerStream, service, name string, err error) error {
	p.log.Error("governed method refused for want of a descriptor", "service", service, "method", name, "error", err)
	answer := status.Newf(codes.Unavailable, "descriptor of %s/%s unavailable", service, name)
	if errors.Is(err, ErrNoDescriptor) {
		answer = status.Newf(codes.FailedPrecondition, "method %s/%s is governed and has no descriptor", service, name)
	} else if s := status.FromContextError(err); s.Code() != codes.Unknown {
		answer = s
	}
	return p.refuse(ss, p.begin(ss, service, name), "descriptor", answer.Err())
}

var errUnmatched = status.Error(codes.PermissionDenied, "no binding governs this method")

// ungoverned passes a call on, or refuses it when the plan says so. The chain
// knows the plan and records what it denies.
func (p *Proxy) ungoverned(ss grpc.ServerStream, plan *interceptor.Plan, service, name string) error {
	if plan.Unmatched == interceptor.UnmatchedDeny {
		return p.refuse(ss, p.begin(ss, service, name), "unmatched", errUnmatched)
	}
	p.metrics.ungoverned(service + "/" + name)
	return p.pass(ss, "/"+service+"/"+name)
}
