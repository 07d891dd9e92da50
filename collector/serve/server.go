// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// Config is what a [Server] answers from.
type Config struct {
	// Store gives the events. Required.
	Store store.Reader

	// ID names the store for ever, so that a resume token of another one is refused;
	// default "docket".
	ID string

	// Commits returns the number of the newest commit. Required.
	Commits func() uint64

	// Hub gives tails what they send. nil: the server has one of its own, over the
	// store alone.
	Hub *follow.Hub

	// Query answers one question in SQL: it calls columns once, and then writes
	// one JSON object in a line for each row, with members in the order of the
	// columns. It returns the first error of either. nil: SQL is not supported,
	// as Unsupported says.
	Query func(ctx context.Context, q Question, columns func([]string) error, rows io.Writer) error

	// Dialect is that of Query, in which statements of the server's own are written;
	// nil: DuckDB's.
	Dialect *filter.Dialect

	// Unsupported is why there is no Query.
	Unsupported error

	// Plan returns a plan by its digest; nil: there are none. Its error is
	// [store.ErrNotFound] or fs.ErrNotExist where there is none of that digest.
	Plan func(ctx context.Context, digest string) ([]byte, error)

	// Plans returns the digests of all plans that Plan finds, in hex; nil: nobody
	// knows.
	Plans func(ctx context.Context) ([]string, error)

	// Ledger shows what is signed; nil: there is none.
	Ledger Ledger

	// Replay runs the operations of events through the plan with a digest, or each
	// through its own where that is "", and returns the report as JSON. Its error
	// is what whoever began the replay is told. nil: nothing is replayed here.
	Replay func(ctx context.Context, plan string, events iter.Seq2[[]byte, error]) (report []byte, err error)

	// Accessed is told of every request to read, allowed or denied, when it has
	// ended. It must not block. nil: nobody is told.
	Accessed func(context.Context, Access)

	// Status returns what GET /v1/status answers; nil answers an empty object.
	Status func(ctx context.Context) (any, error)

	// Reload reads the chain anew and returns what POST /v1/chain/reload answers:
	// what changed. An error that is [ErrRefused] leaves the old chain in force.
	// nil: there is no chain here.
	Reload func(ctx context.Context) (any, error)

	// Requeue puts messages of the quarantine on the stream once more, those with
	// the given IDs or, with none, all, and tells what became of each: POST
	// /v1/quarantine/requeue. nil: nothing is collected here.
	Requeue func(ctx context.Context, ids []string, tell func(became any) error) error

	// Actions are what else admins may have done, by the path below /v1/: POST
	// /v1/NAME. Each takes the body, a JSON object, and tells lines of ndjson.
	Actions map[string]Action

	// Poll is how often a tail looks for a new commit; default 100 ms.
	Poll time.Duration

	// Limit is how long a request that is no stream may take; default 1 minute.
	Limit time.Duration

	// Stall is how long the caller of a query may take for a piece of its
	// answer; default 1 minute, negative is for ever.
	Stall time.Duration

	// Patience is how long somebody who is not known may take to send a request;
	// default 1 minute, negative is for ever.
	Patience time.Duration

	// Grace is how long the callers of streams may take for what is stored when the
	// server drains; default 1 second, negative is for ever.
	Grace time.Duration

	// Now is the clock; default [time.Now].
	Now func() time.Time

	// Log is where failures to answer go; nil discards.
	Log *slog.Logger
}

// A Server answers. Its handlers may be used from many listeners at once.
type Server struct {
	cfg     Config
	service *service
	grpc    *grpc.Server
	health  *health.Server
	rest    http.Handler
	inside  sync.WaitGroup // streams of [conn]
	replays replays
	tails   tails
	scans   scans
	hub     func() (*follow.Hub, error)
	running context.Context    // of the hub that is the server's own
	stop    context.CancelFunc // ends running

	drain     chan struct{} // closed when tails shall end with what is stored
	drainOnce sync.Once
	cutting   context.Context // done when streams end wherever they are
	cut       context.CancelFunc
	closing   context.Context // done when Close has begun
	hangUp    context.CancelFunc
	grace     *time.Timer // cuts; made by drainOnce
}

// New returns a Server. Close gives it up.
func New(cfg Config) *Server {
	if cfg.Poll == 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	if cfg.ID == "" {
		cfg.ID = "docket"
	}
	if cfg.Limit == 0 {
		cfg.Limit = time.Minute
	}
	if cfg.Stall == 0 {
		cfg.Stall = time.Minute
	}
	if cfg.Patience == 0 {
		cfg.Patience = time.Minute
	}
	if cfg.Grace == 0 {
		cfg.Grace = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, drain: make(chan struct{})}
	s.replays.ctx, s.replays.stop = context.WithCancel(context.Background())
	s.running, s.stop = context.WithCancel(context.Background())
	s.cutting, s.cut = context.WithCancel(context.Background())
	s.closing, s.hangUp = context.WithCancel(context.Background())
	s.hub = sync.OnceValues(func() (*follow.Hub, error) { return cfg.Hub, nil })
	if cfg.Hub == nil {
		s.hub = sync.OnceValues(s.ownHub)
	}
	s.service = &service{Server: s}
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream), grpc.MaxRecvMsgSize(maxBody), grpc.StatsHandler(unreadable{s}))
	auditv1.RegisterAuditServiceServer(s.grpc, s.service)
	s.health = health.NewServer()
	s.health.SetServingStatus(auditv1.AuditService_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.rest = s.newREST()
	return s
}

const maxBody = 512 << 10 // the longest request, every character escaped

// Drain lets every tail that follows send what is stored by now and end. Streams
// whose callers have not taken that within the grace end with an error that is
// UNAVAILABLE, and says how to go on.
func (s *Server) Drain() {
	s.drainOnce.Do(func() {
		close(s.drain)
		s.health.Shutdown()
		if s.cfg.Grace > 0 {
			s.grace = time.AfterFunc(s.cfg.Grace, s.cut)
		}
	})
}

// Close ends what is under way, also where the callers take nothing, and waits for
// gRPC and for requests within this process. In REST, answers that nobody takes
// are left to the listener, which closes connections.
func (s *Server) Close() {
	s.Drain()
	if s.grace != nil {
		s.grace.Stop()
	}
	s.cut()
	s.hangUp()
	s.grpc.Stop()
	s.replays.close()
	s.stop()
	s.inside.Wait()
}

// stopping ends a stream that had not come to its end when the server stopped.
type stopping struct{}

func (stopping) Error() string { return "the server stops, and not all was taken" }
func (stopping) Unwrap() error { return follow.ErrStopped }
func (stopping) Hint() string {
	return "ask again; a tail goes on behind the last resume_token that came"
}

// ownHub begins a hub over the store alone.
func (s *Server) ownHub() (*follow.Hub, error) {
	hub, err := follow.New(follow.Config{ID: s.cfg.ID, Store: s.cfg.Store, Commits: s.cfg.Commits, Poll: s.cfg.Poll, Logger: s.cfg.Log})
	if err != nil {
		return nil, err
	}
	s.inside.Go(func() { _ = hub.Run(s.running) }) // it ends by Close, and without an error
	return hub, nil
}

// Client returns a client within this process, which asks with a grant.
func (s *Server) Client(g *authz.Grant, door string) auditv1.AuditServiceClient {
	return auditv1.NewAuditServiceClient(&asking{&conn{s, s.service}, &caller{grant: g, door: door}})
}

// asking is a connection of one caller.
type asking struct {
	*conn

	who *caller
}

func (a *asking) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return a.conn.Invoke(withCaller(ctx, a.who), method, args, reply, opts...)
}

func (a *asking) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return a.conn.NewStream(withCaller(ctx, a.who), desc, method, opts...)
}
