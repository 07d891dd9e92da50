// SPDX-License-Identifier: Apache-2.0

// Package broker runs a NATS server inside this process: the stream of a
// `docket up` that needs no other machine.
//
// Every write is synced before it is acknowledged, because an acknowledged
// event is one that the emitter may forget. The server listens on loopback, so
// that subscribers can attach; Docket's own parts talk to it in process and
// need no port at all.
package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/cmd/internal/datadir"
)

// A Broker is a running server.
type Broker struct {
	srv   *server.Server
	url   string
	taken string
}

// startTimeout bounds recovery of the stores, which reads what was written
// since their last snapshot.
const startTimeout = 2 * time.Minute

// Start runs a server that keeps its streams in dir and listens on address, or
// on the next free port after it.
func Start(dir, address string, log *slog.Logger) (*Broker, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// The server binds by number. A port that was free a moment ago can be
	// taken by then; it says so only in its log, and never becomes ready.
	for attempt := 0; ; attempt++ {
		l, err := datadir.Listen(address)
		if err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
		at := l.Addr().(*net.TCPAddr)
		l.Close()
		srv, err := start(dir, at, log.With("component", "broker"))
		if err == nil {
			return &Broker{srv: srv, url: "nats://" + l.HostPort(), taken: l.TakenPort}, nil
		}
		if attempt == 3 {
			return nil, err
		}
	}
}

func start(dir string, at *net.TCPAddr, log *slog.Logger) (*server.Server, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "docket",
		Host:       at.IP.String(),
		Port:       at.Port,
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: true,
		NoSigs:     true,
		// Docket's own limits are in the stream's declaration. These bound
		// what a subscriber may create beside it.
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  1 << 40,
		MaxPayload:         8 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("start broker in %s: %w", filepath.Base(dir), err)
	}
	failed := make(chan error, 1)
	srv.SetLoggerV2(&logger{log: log, failed: failed}, false, false, false)
	srv.Start()
	ready := make(chan bool, 1)
	go func() { ready <- srv.ReadyForConnections(startTimeout) }()
	ok := false
	select {
	case ok = <-ready:
	case err = <-failed:
	}
	if !ok {
		srv.Shutdown()
		srv.WaitForShutdown()
		if err == nil {
			err = errors.New("not ready in time")
		}
		return nil, fmt.Errorf("start broker: %w", err)
	}
	return srv, nil
}

// URL returns where the server listens.
func (b *Broker) URL() string { return b.url }

// TakenPort is the port that it was to have and another program had, or "".
func (b *Broker) TakenPort() string { return b.taken }

// Connect returns a connection that does not leave this process.
func (b *Broker) Connect(name string) (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(b.srv), nats.Name(name), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	return nc, nil
}

// Close stops the server and waits until its files are closed.
func (b *Broker) Close() {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

// logger passes what the server says on. Its notices are chatty and of no use
// to whoever runs Docket, so they count as debug.
type logger struct {
	log    *slog.Logger
	failed chan error
}

func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("nats", "says", fmt.Sprintf(format, v...))
}

func (l *logger) Warnf(format string, v ...any) {
	l.log.Debug("nats", "warns", fmt.Sprintf(format, v...))
}
func (l *logger) Debugf(format string, v ...any) {}
func (l *logger) Tracef(format string, v ...any) {}
func (l *logger) Errorf(format string, v ...any) {
	l.log.Warn("nats", "error", strings.TrimSpace(fmt.Sprintf(format, v...)))
}

// Fatalf would end the process; here it ends the attempt to start.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.failed <- fmt.Errorf(format, v...):
	default:
	}
}
