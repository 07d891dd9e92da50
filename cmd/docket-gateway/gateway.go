// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/duration"
	"github.com/docket-audit/docket/cmd/internal/ops"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/cmd/internal/rungroup"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
	"github.com/docket-audit/docket/cmd/internal/version"
	"github.com/docket-audit/docket/emitter"
)

const stopLimit = 30 * time.Second

type options struct {
	config, data   string
	limit          time.Duration
	set            []string
	log            *slog.Logger
	stdout, stderr io.Writer
}

func root() *cobra.Command {
	var o options
	var level string
	c := &cobra.Command{
		Use:   "docket-gateway",
		Short: "Govern the calls of one service and send what happened to NATS",
		Long: `Govern the calls of one service and send what happened to the NATS of [nats] url,
by default nats://127.0.0.1:4222.

NATS may be down, also at the start: what cannot be sent waits in DIR/wal. A port
that is taken makes its listener move to the next free one; DIR/run.json says
where it is. SIGINT and SIGTERM see the calls under way to their end. SIGHUP reads the chain
of the configuration anew; one that is refused leaves the old one in force.`,
		Example: `  docket-gateway --config docket.toml --data /var/lib/docket-gateway`,
		Version: version.String(),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := telemetry.Logger(c.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			o.log, o.stdout, o.stderr = log, c.OutOrStdout(), c.ErrOrStderr()
			ctx := c.Context()
			if o.limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, o.limit)
				defer cancel()
			}
			return run(ctx, o)
		},
	}
	data := os.Getenv("DOCKET_DATA")
	if data == "" {
		data = "docket-gateway-data"
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", os.Getenv("DOCKET_CONFIG"), "configuration file (DOCKET_CONFIG)")
	f.StringVar(&o.data, "data", data, "data directory (DOCKET_DATA)")
	duration.Var(f, &o.limit, "for", 0, "stop after this long, such as 20s")
	f.StringArrayVar(&o.set, "set", nil, "set a configuration key, as in --set nats.url=nats://nats.example:4222 (DOCKET_TABLE_KEY)")
	f.StringVar(&level, "log", "warn", "log level: debug, info, warn, error")
	c.AddCommand(ops.CheckCommand())
	c.CompletionOptions.DisableDefaultCmd = true
	cli.SetHelp(c)
	c.SetVersionTemplate(cli.VersionTemplate)
	return c
}

// A gateway is everything that runs, in the order in which it comes to life.
type gateway struct {
	o       options
	started time.Time
	cfg     *config.Config
	dir     *datadir.Dir
	metrics *telemetry.Metrics
	traces  *telemetry.Traces // nil when nothing is traced
	conn    *nats.Conn
	emitter *emitter.Emitter
	request *requestpath.Path
	ops     *ops.Listener
	run     datadir.Run

	group              rungroup.Group
	emitting, proxying *rungroup.Part
}

func run(ctx context.Context, o options) error {
	g := &gateway{o: o, started: time.Now().UTC()}
	// Before anything starts: the signal's own meaning is to die.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	failed := g.start(ctx)
	if failed == nil {
		g.banner()
		failed = g.wait(ctx, hup)
	} else if ctx.Err() != nil {
		failed = nil // stopped while it started
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return errors.Join(failed, g.stop(stopping))
}

// wait returns when ctx ends or a part failed. Each hup reloads the chain.
func (g *gateway) wait(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-g.group.Failed():
			return err
		case <-hup:
			_, _ = g.request.Reload(ctx) // an error is logged and recorded: the old chain stays
		}
	}
}

func (g *gateway) start(ctx context.Context) (err error) {
	if g.o.config == "" {
		return cli.Usage(cli.Hint(errors.New("no configuration"), "give one with --config FILE; `docket init` writes one"))
	}
	if g.cfg, err = config.Load(g.o.config, os.Environ(), g.o.set); err != nil {
		return err
	}
	if !g.cfg.HasGateway {
		return &config.Error{File: g.cfg.File, Err: errors.New("no [gateway] in it"), Advice: "docket-gateway governs calls: write [gateway] with upstream and unmatched"}
	}
	nameBroker(g.cfg, g.o.log)
	if err := requestpath.Check(g.cfg); err != nil {
		return err
	}
	if g.dir, err = datadir.Own(g.o.data); err != nil {
		return err
	}
	if err := nameEmitter(g.cfg); err != nil {
		return err
	}
	if g.metrics, err = telemetry.NewMetrics(ctx, "docket-gateway", g.cfg.Emitter.Name, g.o.log); err != nil {
		return err
	}
	if g.conn, err = requestpath.Connect(g.cfg, "docket-gateway", g.o.log); err != nil {
		return err
	}
	if g.emitter, err = requestpath.OpenEmitter(g.cfg, g.dir, g.conn, g.o.log, g.metrics.Provider); err != nil {
		return err
	}
	g.emitting = g.group.Go("emitter", g.emitter.Run)
	if g.traces, err = telemetry.NewTraces(ctx, g.cfg.Telemetry.Traces, "docket-gateway", g.emitter.State().Name, g.o.log); err != nil {
		return err
	}
	if g.request, err = requestpath.Open(ctx, g.cfg, g.dir, g.emitter, g.o.log, g.metrics.Provider, g.traces.Provider()); err != nil {
		return err
	}
	g.proxying = g.group.Go("proxy", g.request.Serve)
	if g.ops, err = ops.Listen(&g.group, g.cfg.Ops.Listen, ops.Watched{
		Ready: g.ready, Metrics: g.metrics.Handler, Path: func() *requestpath.Path { return g.request },
	}); err != nil {
		return err
	}
	g.run = datadir.Run{
		PID: os.Getpid(), Command: "docket-gateway", Version: version.Number, Started: g.started, Emitter: g.emitter.State().Name,
		Addresses: map[string]string{"proxy": g.request.URL(), "ops": g.ops.URL(), "nats": requestpath.Redacted(g.cfg.NATS.URL)},
	}
	g.run.Note("proxy", g.request.TakenPort())
	g.run.Note("ops", g.ops.TakenPort())
	return g.dir.Announce(g.run)
}

// nameBroker fills in whose NATS gets the events where the file does not say:
// calls can be governed before anybody collects, and what cannot be sent waits
// in the WAL.
func nameBroker(cfg *config.Config, log *slog.Logger) {
	if cfg.NATS.URL == "" {
		cfg.NATS.URL = nats.DefaultURL
		log.Warn("no [nats] url: events are sent to the NATS of this machine", "url", nats.DefaultURL)
	}
}

// nameEmitter names an emitter that its file does not: after the host, and not
// as that of a `docket up` beside it, which has the host's name and another key.
func nameEmitter(cfg *config.Config) error {
	if cfg.Emitter.Name != "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name the emitter: %w", err)
	}
	cfg.Emitter.Name = host + "-gateway"
	return nil
}

// ready says whether calls are recorded. That NATS is away does not make it
// unready: that is what the WAL is for.
func (g *gateway) ready() error {
	t := g.emitter.State().Troubles
	for _, about := range []string{"wal", "full"} {
		if what := t[about]; what != "" {
			return fmt.Errorf("the emitter: %s: %s", about, what)
		}
	}
	return nil
}

func (g *gateway) banner() {
	fmt.Fprintf(g.o.stdout, "docket-gateway %s, data in %s\n", version.Number, g.o.data)
	for _, line := range []struct{ name, note string }{{"proxy", "governed calls go here"}, {"ops", "/healthz /readyz /metrics"}, {"nats", "events go there"}} {
		if moved := g.run.Moved(line.name); moved != "" {
			line.note = moved + "; " + line.note
		}
		fmt.Fprintf(g.o.stdout, "  %-6s %-28s %s\n", line.name, g.run.Addresses[line.name], line.note)
	}
}

func (g *gateway) stop(ctx context.Context) error {
	errs := []error{g.proxying.Stop()} // sees the calls under way to their end
	if g.request != nil {
		errs = append(errs, g.request.Close(ctx))
	}
	if g.emitter != nil {
		errs = append(errs, requestpath.CloseEmitter(ctx, g.emitter, g.conn, g.o.stderr))
	}
	errs = append(errs, g.emitting.Stop())
	if g.ops != nil {
		errs = append(errs, g.ops.Close(ctx))
	}
	if g.conn != nil {
		g.conn.Close()
	}
	errs = append(errs, g.traces.Close(ctx))
	if g.metrics != nil {
		errs = append(errs, g.metrics.Close(ctx))
	}
	if g.dir != nil {
		errs = append(errs, g.dir.Close())
	}
	return errors.Join(errs...)
}
