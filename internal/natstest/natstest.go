// SPDX-License-Identifier: Apache-2.0

// Package natstest runs a real NATS server with JetStream inside a test. Docket
// is never tested against an imitation of NATS.
//
//	s := natstest.Run(t)
//	nc := s.Conn(t)
//	s.Stop()  // as a crash of the machine looks to clients: gone
//	s.Start() // same port, same store
package natstest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Server is a NATS server in this process that can be stopped and started
// again on the same port and store. It is not for concurrent use.
type Server struct {
	t    testing.TB
	opts server.Options
	srv  *server.Server
	rest *quiet // of srv
}

// An Option changes the server's options before it starts.
type Option func(*server.Options)

// Run starts a server with a JetStream store in a temporary directory and
// stops it when the test ends. It syncs each write, as Docket asks of a server.
func Run(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: FreePort(t), JetStream: true, StoreDir: t.TempDir(),
		SyncAlways: true, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 64 << 30,
	}}
	for _, o := range opts {
		o(&s.opts)
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// startTimeout bounds what a server needs to listen, generously: it is no
// measurement.
const startTimeout = time.Minute

// Start starts the server unless it runs.
func (s *Server) Start() {
	s.t.Helper()
	if s.srv != nil {
		return
	}
	opts := s.opts // the server writes defaults into what it is given
	rest := new(quiet)
	opts.AccountResolver = rest
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatalf("start NATS server: %v", err)
	}
	rest.srv = srv
	go srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		s.t.Fatal("start NATS server: not ready")
	}
	s.srv, s.rest = srv, rest
}

// Stop stops the server if it runs and waits until it is gone, with all that it
// started. Clients are cut off at once. What the server had read by then may be
// on the stream, without an answer, or not.
func (s *Server) Stop() {
	if s.srv == nil {
		return
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	if err := s.rest.err; err != nil {
		s.t.Errorf("stop NATS server: %v", err)
	}
	s.srv, s.rest = nil, nil
}

// Change changes the options for the next start.
func (s *Server) Change(opts ...Option) {
	for _, o := range opts {
		o(&s.opts)
	}
}

// Server returns the running server, nil when stopped.
func (s *Server) Server() *server.Server { return s.srv }

// URL returns where the server listens, also while it is stopped.
func (s *Server) URL() string {
	return "nats://" + net.JoinHostPort(s.opts.Host, strconv.Itoa(s.opts.Port))
}

// Conn returns a connection that reconnects for ever and is closed with the
// test.
func (s *Server) Conn(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, s.URL(), opts...)
}

func connect(t testing.TB, urls string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(urls, append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.RetryOnFailedConnect(true),
	}, opts...)...)
	if err != nil {
		t.Fatalf("connect to NATS: %v", err)
	}
	t.Cleanup(func() {
		if nc.IsClosed() {
			return // the test closed it, and nothing more will be told
		}
		closed := nc.StatusChanged(nats.CLOSED)
		nc.Close()
		select {
		case <-closed:
		case <-time.After(5 * time.Second):
		}
	})
	return nc
}

// JetStream returns a JetStream context on a connection of its own.
func (s *Server) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(s.Conn(t))
	if err != nil {
		t.Fatalf("open JetStream: %v", err)
	}
	return js
}

// FreePort finds a port that is free now, and likely to be free whenever a
// server comes back to it: it is below those that systems give to connections
// and to listeners that do not care, of which other tests take many meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	const first, end = 15_000, 32_000
	var err error
	for range 100 {
		port := first + rand.IntN(end-first)
		var lis net.Listener
		if lis, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			_ = lis.Close()
			return port
		}
	}
	t.Fatalf("find a free port: %v", err)
	return 0
}
