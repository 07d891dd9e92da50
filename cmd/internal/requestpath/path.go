// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
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
	file     *chainfile.File
	chain    *interceptor.Chain
	proxy    *grpcproxy.Proxy
	upstream *grpc.ClientConn
	lis      *datadir.Listener
	emitter  *emitter.Emitter
	form     []activity.Option // of events
	log      *slog.Logger

	// stated is what the last statement about ungoverned calls said; owned by
	// run, and by Close after it.
	stated map[string]int64
}

// Open reads the chain of cfg, connects to its interceptors and the service,
// and listens. It takes no calls before [Path.Serve].
func Open(ctx context.Context, cfg *config.Config, em *emitter.Emitter, log *slog.Logger, meter metric.MeterProvider) (_ *Path, err error) {
	p := &Path{emitter: em, log: log.With("component", "requestpath"), stated: map[string]int64{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release())
		}
	}()
	if p.file, err = chainfile.Load(ctx, cfg.File); err != nil {
		return nil, err
	}
	for _, w := range p.file.Warnings {
		p.log.Warn(w)
	}
	override(cfg, p.file)
	g := p.file.Gateway
	if g.Upstream == "" {
		return nil, noUpstream(cfg)
	}
	p.form = []activity.Option{activity.WithVersion(version.Number), activity.WithSchema(cfg.OCSF.Version)}
	rec := activity.NewRecorder(func(ctx context.Context, e ocsf.Event) activity.Ack { return em.Emit(ctx, e) }, p.form...)
	counted, err := metered.New(rec, meter)
	if err != nil {
		return nil, err
	}
	if p.chain, err = interceptor.New(p.file.Plan, counted); err != nil {
		return nil, err
	}
	if p.upstream, err = grpcproxy.Dial(g.Upstream); err != nil {
		return nil, err
	}
	pc := grpcproxy.Config{
		Chain: p.chain, Upstream: p.upstream, Logger: log, Meter: meter,
		Tenant: tenant(cfg.Tenant),
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
		return nil, err
	}
	if g.Descriptors == "" {
		if err := p.check(ctx); err != nil {
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
func (p *Path) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := p.proxy.Check(ctx)
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

func tenant(t config.Tenant) func(metadata.MD) string {
	switch {
	case t.Fixed != "":
		return func(metadata.MD) string { return t.Fixed }
	case t.MetadataKey != "":
		return grpcproxy.TenantFrom(t.MetadataKey, "")
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

// statement is how often what passed ungoverned is stated.
const statement = time.Minute

// Serve states which plan is in force and answers calls until ctx ends; those
// under way are seen to their end.
func (p *Path) Serve(ctx context.Context) error {
	activated := activity.PlanActivated(p.chain.Plan(), p.form...)
	// Not before the plan is on stable storage: it is what makes sense of the
	// operations behind it.
	if err := p.emitter.Emit(ctx, activated).Spooled(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("state the plan in force: %w", err)
	}
	done := make(chan struct{})
	stating, stop := context.WithCancel(ctx)
	go func() {
		defer close(done)
		p.stateUngoverned(stating)
	}()
	defer func() { stop(); <-done }()
	return p.proxy.Serve(ctx, p.lis)
}

func (p *Path) stateUngoverned(ctx context.Context) {
	tick := time.NewTicker(statement)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.state()
		case <-ctx.Done():
			return
		}
	}
}

// state emits how many calls passed ungoverned since the last time, per method.
func (p *Path) state() {
	now := p.proxy.Ungoverned()
	since := map[string]any{}
	total := int64(0)
	for method, n := range now {
		if d := n - p.stated[method]; d > 0 {
			since[method] = d
			total += d
		}
	}
	if total == 0 {
		return
	}
	p.stated = maps.Clone(now)
	p.emitter.Emit(context.Background(), ungoverned(since, total, time.Now()))
}

// ungoverned states calls that no binding looked at, by method.
func ungoverned(since map[string]any, total int64, now time.Time) ocsf.Event {
	return &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleOther, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActivityName: "Ungoverned calls", Time: now.UnixMilli(), SeverityID: ocsf.SeverityInformational,
			Message:  fmt.Sprintf("%s of %s passed ungoverned", counted(total, "call"), counted(int64(len(since)), "method")),
			Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"ungoverned": since}},
		},
	}
}

// counted says how many there are: "1 call", "2 calls".
func counted(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// Close waits for what the chain still does, after [Path.Serve] returned, and
// gives the connections up. The emitter is the caller's to close, afterwards.
func (p *Path) Close(ctx context.Context) error {
	p.state()
	err := p.chain.Close(ctx)
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
	if p.file != nil {
		errs = append(errs, p.file.Close())
	}
	return errors.Join(errs...)
}
