// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/cmd/internal/broker"
	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/demo"
	"github.com/docket-audit/docket/cmd/internal/ops"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/cmd/internal/rungroup"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
	"github.com/docket-audit/docket/cmd/internal/version"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/authz/tlsfiles"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/interceptor/replay/metered"
	"github.com/docket-audit/docket/internal/stream"
)

type upOptions struct {
	config string
	data   string
	demo   bool
	may    recordpath.Allowed
	limit  time.Duration
	store  string // a DSN; "": what the configuration says
	set    []string

	log            *slog.Logger
	stdout, stderr io.Writer
}

// A daemon is everything that `docket up` runs. Fields are in the order in
// which they come to life; stop goes the other way.
type daemon struct {
	o       upOptions
	started time.Time
	cfg     *config.Config
	dir     *datadir.Dir
	metrics *telemetry.Metrics
	demo    *demo.Processes // nil without --demo
	broker  *broker.Broker  // nil with [nats] url
	conn    *nats.Conn
	emitter *emitter.Emitter
	// strangers bounds what is recorded of those whom no door knows.
	strangers *strangers
	record    *recordpath.Path
	traces    *telemetry.Traces // nil when nothing is traced
	request   *requestpath.Path // nil when nothing is governed
	// governing is request, for those who may ask before it is there.
	governing atomic.Pointer[requestpath.Path]
	server    *serve.Server
	replays   *metered.Meter
	open      bool            // api answers without a token
	tls       *tlsfiles.Files // nil: api is in the plain

	flightOpen bool // and so does flight

	group                          rungroup.Group
	emitting, collecting, proxying *rungroup.Part
	watching, following            *rungroup.Part
	listeners                      []*listener
	ops                            *ops.Listener
	run                            datadir.Run
}

// start brings everything up, in an order in which nothing waits for what comes
// after it. What has started is stopped again when something does not.
func start(ctx context.Context, o upOptions) (d *daemon, err error) {
	d = &daemon{o: o, started: time.Now().UTC()}
	defer func() {
		if err != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
			defer cancel()
			err = errors.Join(err, d.stop(stopping))
		}
	}()
	// Before the directory is touched: a typo must not leave one behind. The
	// demo's file is not there yet, what is said beside it is.
	if d.cfg, err = loadConfig(o.config, o.set); err != nil {
		return d, err
	}
	if o.may.ShortenRetention && d.cfg.Store.URL == "" {
		return d, cli.Usage(cli.Hint(errors.New("--shorten-retention is for a store in ClickHouse"), "what a lake keeps is as the configuration says, without it; docs/retention.md"))
	}
	if err := requestpath.Check(d.cfg); err != nil {
		return d, err
	}
	if d.tls, err = checkDoors(d.cfg, o.data, o.log); err != nil {
		return d, err
	}
	if err := recordpath.Reach(ctx, d.cfg); err != nil {
		return d, err
	}
	if d.dir, err = datadir.Own(o.data); err != nil {
		return d, err
	}
	if err := recordpath.CheckPlace(d.cfg, d.dir); err != nil {
		return d, err
	}
	if d.metrics, err = telemetry.NewMetrics(ctx, "docket", d.cfg.Emitter.Name, d.o.log); err != nil {
		return d, err
	}
	for _, step := range []func(context.Context) error{d.startDemo, d.startBroker, d.startRecording, d.startServing, d.startGoverning, d.announce, d.startTraffic} {
		if err := step(ctx); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *daemon) startDemo(ctx context.Context) (err error) {
	if !d.o.demo {
		return nil
	}
	if d.demo, err = demo.Start(ctx, d.dir.Join("demo"), d.o.stderr); err != nil {
		return err
	}
	d.watching = d.group.Go("demo", func(ctx context.Context) error {
		select {
		case err := <-d.demo.Died():
			return err
		case <-ctx.Done():
			return nil
		}
	})
	d.cfg, err = loadConfig(d.demo.ChainFile(), d.o.set)
	return err
}

func (d *daemon) startBroker(ctx context.Context) (err error) {
	if d.cfg.NATS.URL != "" {
		d.conn, err = requestpath.Connect(d.cfg, "docket", d.o.log)
		return err
	}
	if d.broker, err = broker.Start(d.dir.Join("nats"), d.cfg.NATS.Listen, d.o.log); err != nil {
		return err
	}
	if d.conn, err = d.broker.Connect("docket"); err != nil {
		return err
	}
	// The broker is ours, and so is its stream: it is made as strong as this
	// binary wants it, and stays with the emitters to which `docket stream apply` gave it.
	// Of another broker that is for its operator to say.
	js, err := jetstream.New(d.conn)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return stream.Apply(ctx, js, stream.Name(d.cfg.NATS.Stream), stream.AnyEmitters())
}

func (d *daemon) startRecording(ctx context.Context) (err error) {
	if d.emitter, err = requestpath.OpenEmitter(d.cfg, d.dir, d.conn, d.o.log, d.metrics.Provider); err != nil {
		return err
	}
	d.strangers = newStrangers(d.recordAccess, time.Now)
	if d.record, err = recordpath.Open(ctx, d.cfg, d.dir, d.conn, d.o.may, d.emitter, d.o.log, d.metrics.Provider); err != nil {
		return err
	}
	d.emitting = d.group.Go("emitter", d.emitter.Run)
	d.collecting = d.group.Go("collector", d.record.Run)
	return nil
}

func (d *daemon) startGoverning(ctx context.Context) (err error) {
	if !d.cfg.HasGateway {
		return nil
	}
	if d.traces, err = telemetry.NewTraces(ctx, d.cfg.Telemetry.Traces, "docket", d.emitter.State().Name, d.o.log); err != nil {
		return err
	}
	if d.request, err = requestpath.Open(ctx, d.cfg, d.dir, d.emitter, d.o.log, d.metrics.Provider, d.traces.Provider()); err != nil {
		return err
	}
	d.governing.Store(d.request)
	d.proxying = d.group.Go("proxy", d.request.Serve)
	return nil
}

// wait returns when ctx ends or a part failed. Each hup reloads the chain.
func (d *daemon) wait(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.group.Failed():
			return err
		case <-hup:
			if d.request != nil {
				_, _ = d.request.Reload(ctx) // an error is logged and recorded: the old chain stays
			}
		}
	}
}

// reload is POST /v1/chain/reload.
func (d *daemon) reload(ctx context.Context) (any, error) {
	p := d.governing.Load()
	switch {
	case p != nil:
	case d.cfg.HasGateway:
		return nil, fmt.Errorf("%w: the chain is not in force yet", serve.ErrRefused)
	default:
		return nil, cli.Hint(fmt.Errorf("%w: this docket governs nothing", serve.ErrRefused), "write a [gateway] into its configuration, and restart it")
	}
	change, err := p.Reload(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", serve.ErrRefused, err)
	}
	return change, nil
}

// startServing opens the doors: the socket for this user, api and flight for
// those with the token, ops for whoever watches.
func (d *daemon) startServing(context.Context) error {
	asking := d.asking()
	id := reading.StoreID(d.dir.Path)
	hub, err := d.record.Hub(id, d.metrics.Provider)
	if err != nil {
		return err
	}
	if d.replays, err = metered.New(d.metrics.Provider); err != nil {
		return err
	}
	d.following = d.group.Go("follow", hub.Run)
	d.server = serve.New(serve.Config{
		ID:       id,
		Hub:      hub,
		Store:    d.record.Store,
		Commits:  d.record.Commits,
		Query:    asking.rows,
		Dialect:  asking.dialect,
		Plan:     reading.Plans(d.dir.Path),
		Plans:    reading.PlanDigests(d.dir.Path),
		Ledger:   reading.Ledger(d.dir.Path),
		Replay:   d.replayServed,
		Accessed: d.accessed,
		Status:   d.status,
		Reload:   d.reload,
		Requeue: func(ctx context.Context, ids []string, tell func(any) error) error {
			return d.record.Collector.Requeue(ctx, ids, func(r collector.Requeued) error { return tell(r) })
		},
		Actions: d.actions(),
		Log:     d.o.log.With("component", "serve"),
	})
	token, err := d.dir.Token()
	if err != nil {
		return err
	}
	sock, err := d.dir.ListenSocket()
	if err != nil {
		return err
	}
	d.serve(&listener{name: "socket"}, sock, d.server.Handler(serve.Door{Name: "socket", Authenticate: serve.Trusting(peerOf)}))
	api, err := datadir.Listen(d.cfg.API.Listen)
	if err != nil {
		return err
	}
	loopback := api.Addr().(*net.TCPAddr).IP.IsLoopback()
	verifier, err := authz.New(callers(d.cfg, d.dir.Path, token, d.o.log))
	if err != nil {
		return errors.Join(err, api.Close())
	}
	cors, err := authz.NewCORS(d.cfg.API.CORSOrigins)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	door := serve.Door{Name: "api", Authenticate: verifier.HTTP}
	if d.open = d.o.demo && loopback; d.open {
		door.Authenticate = serve.OrLoopback(door.Authenticate)
	}
	secured, url, err := d.secure(api)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	d.serve(&listener{name: "api", url: url, taken: api.TakenPort}, secured, cors.Handler(d.server.Handler(door)))
	if err := d.startFlight(asking.arrow, verifier); err != nil {
		return err
	}
	d.ops, err = ops.Listen(&d.group, d.cfg.Ops.Listen, ops.Watched{Ready: d.ready, Metrics: d.metrics.Handler, Path: d.governing.Load})
	return err
}

// A listener is one door.
type listener struct {
	name       string
	url, taken string // "" for the socket; the port that it was to have, if another program had it
	srv        interface {
		Shutdown(ctx context.Context) error
	}
	part *rungroup.Part
}

func (d *daemon) serve(door *listener, l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true) // gRPC needs it, with TLS and, on loopback, without
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, datadir.Peer(c))
	}
	door.srv = cutting{srv}
	door.part = d.group.Go(door.name, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer stop()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	d.listeners = append(d.listeners, door)
}

// cutting is a server that closes connections whose answers have not ended in time:
// [http.Server.Shutdown] leaves them open.
type cutting struct{ *http.Server }

func (c cutting) Shutdown(ctx context.Context) error {
	err := c.Server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, c.Close())
	}
	return err
}

// accessed makes an event of everybody who read, or was refused.
func (d *daemon) accessed(ctx context.Context, a serve.Access) { d.strangers.accessed(ctx, a) }

func (d *daemon) recordAccess(ctx context.Context, a serve.Access) {
	d.emitter.Emit(ctx, a.Event(uuid.Must(uuid.NewV7()).String()))
}

type peerKey struct{}

// peerOf names the user of this machine who asks over the socket.
func peerOf(r *http.Request) string {
	who, _ := r.Context().Value(peerKey{}).(string)
	return cmp.Or(who, "local")
}

// announce writes run.json: from now on readers ask here.
func (d *daemon) announce(context.Context) error {
	d.run = datadir.Run{
		PID: os.Getpid(), Command: "docket up", Version: version.Number, Started: d.started, Emitter: d.emitter.State().Name,
		Addresses: map[string]string{"ops": d.ops.URL()},
	}
	d.run.Note("ops", d.ops.TakenPort())
	for _, l := range d.listeners {
		if l.url != "" {
			d.run.Addresses[l.name] = l.url
			d.run.Note(l.name, l.taken)
		}
	}
	if d.request != nil {
		d.run.Addresses["proxy"] = d.request.URL()
		d.run.Note("proxy", d.request.TakenPort())
	}
	if s := d.record.ClickHouse; s != nil {
		d.run.Addresses["store"] = "clickhouse " + s.Addr()
	}
	d.run.Addresses["nats"] = requestpath.Redacted(d.cfg.NATS.URL)
	if d.broker != nil {
		d.run.Addresses["nats"] = d.broker.URL()
		d.run.Note("nats", d.broker.TakenPort())
	}
	return d.dir.Announce(d.run)
}

func (d *daemon) startTraffic(ctx context.Context) error {
	if d.demo == nil {
		return nil
	}
	return d.demo.StartClient(ctx, d.request.URL())
}

// keysTogether reports whether one thief would get both keys: the one that says
// what happened, and the one that says what was stored.
func (d *daemon) keysTogether() bool {
	emitterKey := d.cfg.Emitter.Key
	if emitterKey == "" {
		emitterKey = d.dir.Join("keys", "emitter.key")
	}
	return filepath.Dir(emitterKey) == filepath.Dir(recordpath.LedgerKey(d.cfg, d.dir))
}
