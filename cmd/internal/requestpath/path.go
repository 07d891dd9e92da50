// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
	"github.com/docket-audit/docket/cmd/internal/version"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/grpcproxy"
	"github.com/docket-audit/docket/interceptor/metered"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A Path is a proxy that governs one service.
type Path struct {
	cfg      *config.Config
	dir      *datadir.Dir
	signer   signer
	chain    *interceptor.Chain
	proxy    *grpcproxy.Proxy
	upstream *grpc.ClientConn
	lis      *datadir.Listener
	form     []activity.Option // of events
	log      *slog.Logger
	traces   trace.TracerProvider // nil when nothing is traced
	plans    metric.Int64Counter  // that were activated or rejected

	// emit records an event of ours.
	emit func(context.Context, ocsf.Event) activity.Ack

	now func() time.Time

	// reloading is held by who changes what is in force, or states it. file is
	// what the plan in force was read from, began what the path began with: what
	// is not reloaded is as it says. closed is closed when the path stops.
	reloading sync.Mutex
	file      atomic.Pointer[loaded]
	began     *chainfile.File
	closing   sync.WaitGroup // of files whose plan is no longer in force
	closed    chan struct{}
	closeOnce sync.Once

	// stated is what is recorded about ungoverned calls; pending is a statement
	// of which nobody knows yet whether it is, and what it would make true. Both
	// are owned by run, and by Close after it.
	stated  map[string]int64
	passed  func() map[string]int64 // what passed ungoverned so far
	pending activity.Ack
	then    map[string]int64
}

// Open reads the chain of cfg, connects to its interceptors and the service,
// and listens. It takes no calls before [Path.Serve]. Traces may be nil: then
// nothing is traced.
func Open(ctx context.Context, cfg *config.Config, dir *datadir.Dir, em *emitter.Emitter, log *slog.Logger, meter metric.MeterProvider, traces trace.TracerProvider) (_ *Path, err error) {
	p := &Path{cfg: cfg, dir: dir, log: log.With("component", "requestpath"), traces: traces, now: time.Now, closed: make(chan struct{}), stated: map[string]int64{}}
	p.emit = func(ctx context.Context, e ocsf.Event) activity.Ack { return em.Emit(ctx, e) }
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release())
		}
	}()
	if p.plans, err = planCounter(meter); err != nil {
		return nil, err
	}
	l, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	p.signer.settle(true)
	p.file.Store(l)
	p.began = l.File
	g := l.Gateway
	if g.Upstream == "" {
		return nil, noUpstream(cfg)
	}
	p.form = []activity.Option{activity.WithVersion(version.Number), activity.WithSchema(cfg.OCSF.Version)}
	withheld, err := p.withheld(l.File)
	if err != nil {
		return nil, err
	}
	rec := activity.NewRecorder(func(ctx context.Context, e ocsf.Event) activity.Ack { return p.emit(ctx, e) }, append(withheld, p.form...)...)
	counted, err := metered.New(rec, meter)
	if err != nil {
		return nil, err
	}
	if p.chain, err = interceptor.New(l.Plan, counted); err != nil {
		return nil, err
	}
	l.denies = denying(p.chain.Plan())
	if traces != nil {
		p.chain.Tracer = traces.Tracer("github.com/docket-audit/docket/interceptor", trace.WithInstrumentationVersion(version.Number))
	}
	if p.upstream, err = grpcproxy.Dial(g.Upstream, telemetry.DialOptions(traces)...); err != nil {
		return nil, err
	}
	pc := grpcproxy.Config{
		Chain: p.chain, Upstream: p.upstream, Logger: log, Meter: meter,
		Tenant: tenant(cfg.Tenant), MaxRequestBytes: g.MaxRequestBytes, Attributes: g.Attributes,
		ServerOptions: telemetry.ServerOptions(traces),
	}
	if cfg.Principal.MetadataKey != "" {
		pc.Principal = grpcproxy.PrincipalFrom(cfg.Principal.MetadataKey)
	}
	if g.Descriptors != "" {
		if pc.Descriptors, err = os.ReadFile(g.Descriptors); err != nil {
			return nil, noDescriptors(cfg, err)
		}
	}
	if p.proxy, err = grpcproxy.New(pc); err != nil {
		if g.Descriptors != "" {
			err = fmt.Errorf("%s: %w", g.Descriptors, err)
		}
		return nil, err
	}
	p.passed = p.proxy.Ungoverned
	if g.Descriptors == "" {
		if err := p.check(ctx, p.chain.Plan()); err != nil {
			return nil, err
		}
	}
	if p.lis, err = datadir.Listen(hostPort(cfg.Gateway.Listen)); err != nil {
		return nil, err
	}
	return p, nil
}

// Check says what is wrong with cfg before anything is opened for it: an error
// here leaves nothing behind.
func Check(cfg *config.Config) error {
	if !cfg.HasGateway {
		return nil
	}
	if _, err := chainfile.Explain(cfg.File); err != nil {
		return err
	}
	if cfg.Gateway.Upstream == "" {
		return noUpstream(cfg)
	}
	if cfg.Tenant.Fixed == profile.TenantDocket {
		return &config.Error{File: cfg.File, Err: fmt.Errorf("the tenant %q is reserved", cfg.Tenant.Fixed), Advice: "it has what belongs to no tenant: give [tenant] fixed another name"}
	}
	if file := cfg.Gateway.Descriptors; file != "" {
		if !filepath.IsAbs(file) && !cfg.Overridden("gateway.descriptors") {
			file = filepath.Join(filepath.Dir(cfg.File), file)
		}
		if _, err := os.Stat(file); err != nil {
			return noDescriptors(cfg, err)
		}
	}
	return nil
}

func noDescriptors(cfg *config.Config, err error) error {
	return &config.Error{File: cfg.File, Err: fmt.Errorf("read descriptors: %w", err), Advice: "[gateway] descriptors is a FileDescriptorSet, made by `buf build -o` or `protoc --include_imports -o`"}
}

func noUpstream(cfg *config.Config) error {
	return &config.Error{File: cfg.File, Err: errors.New("upstream is missing in [gateway]"), Advice: "say where the governed service is: upstream = \"http://HOST:PORT\" or \"unix:///PATH\""}
}

// check asks the service for its descriptors. A method that cannot be governed
// is an error; a service that is not there yet is none, for then its calls fail
// until it is.
func (p *Path) check(ctx context.Context, plan *interceptor.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := p.proxy.CheckPlan(ctx, plan)
	var m *grpcproxy.MethodError
	if err != nil && !errors.As(err, &m) {
		p.log.Warn("the governed service does not answer yet", "error", err)
		return nil
	}
	return err
}

// override puts what the environment and the command line say over the file.
func override(cfg *config.Config, f *chainfile.File) {
	for key, set := range map[string]func(){
		"gateway.upstream":    func() { f.Gateway.Upstream = cfg.Gateway.Upstream },
		"gateway.descriptors": func() { f.Gateway.Descriptors = cfg.Gateway.Descriptors },
		"gateway.unmatched":   func() { f.Plan.Unmatched = cfg.Gateway.Unmatched },
		"audit.mode":          func() { f.Plan.Audit = cfg.Audit.Mode },
		"audit.deadline":      func() { f.Plan.AuditDeadline = time.Duration(cfg.Audit.Deadline) },
		"audit.answer":        func() { f.Plan.Answer = cfg.Audit.Answer },
	} {
		if cfg.Overridden(key) {
			set()
		}
	}
}

func tenant(t config.Tenant) func(metadata.MD) (string, error) {
	switch {
	case t.Fixed != "":
		return func(metadata.MD) (string, error) { return t.Fixed, nil }
	case t.MetadataKey != "":
		named := grpcproxy.TenantFrom(t.MetadataKey, "")
		return func(md metadata.MD) (string, error) {
			tenant, err := named(md)
			if err == nil && tenant == profile.TenantDocket {
				err = status.Errorf(codes.InvalidArgument, "the tenant %q is reserved", tenant)
			}
			return tenant, err
		}
	}
	return nil
}

// hostPort takes "host:port" and "http://host:port".
func hostPort(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		return strings.TrimSuffix(rest, "/")
	}
	return address
}

// URL returns where the proxy listens.
func (p *Path) URL() string { return "http://" + p.lis.HostPort() }

// TakenPort is the port that it was to have and another program had, or "".
func (p *Path) TakenPort() string { return p.lis.TakenPort }

// Plan returns the plan in force.
func (p *Path) Plan() *interceptor.Plan { return p.chain.Plan() }

// Serve states which plan is in force and answers calls until ctx ends; those
// under way are seen to their end.
func (p *Path) Serve(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var beside sync.WaitGroup
	watching, stop := context.WithCancel(ctx)
	beside.Go(func() { p.stateUngoverned(watching) })
	beside.Go(func() { p.watch(watching) })
	defer func() { stop(); beside.Wait() }()
	err := p.proxy.Serve(ctx, p.lis)
	if ctx.Err() != nil && errors.Is(err, grpc.ErrServerStopped) {
		return nil // stopped before it served
	}
	return err
}

// begin states the plan in force. A reload may have been before it.
func (p *Path) begin(ctx context.Context) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	return p.activate(ctx, p.chain.Plan())
}

// Close waits for what the chain still does, after [Path.Serve] returned, and
// gives the connections up. The emitter is the caller's to close, afterwards.
func (p *Path) Close(ctx context.Context) error {
	p.closeOnce.Do(func() { close(p.closed) })
	p.reloading.Lock()
	defer p.reloading.Unlock()
	p.state(ctx)
	err := p.chain.Close(ctx)
	p.closing.Wait() // a chain that is closed has retired all its plans
	return errors.Join(err, p.release())
}

func (p *Path) release() error {
	var errs []error
	if p.lis != nil {
		if err := p.lis.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if p.upstream != nil {
		errs = append(errs, p.upstream.Close())
	}
	if l := p.file.Load(); l != nil {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
