// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/version"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/serve"
)

// startFlight opens the door of Flight SQL, unless the configuration has none.
func (d *daemon) startFlight(engine flight.Engine, v *authz.Verifier) error {
	if d.cfg.Flight.Listen == "" {
		return nil
	}
	l, err := datadir.Listen(d.cfg.Flight.Listen)
	if err != nil {
		return err
	}
	loopback := l.Addr().(*net.TCPAddr).IP.IsLoopback()
	d.flightOpen = d.o.demo && loopback
	scheme, opts := "grpc://", []grpc.ServerOption(nil)
	switch {
	case d.tls != nil:
		scheme, opts = "grpc+tls://", append(opts, grpc.Creds(credentials.NewTLS(d.tls.TLS())))
	case !loopback && !d.cfg.API.Insecure:
		return errors.Join(inThePlain("flight", l.Addr().String()), l.Close())
	}
	door, err := flight.New(flight.Config{
		Options:   opts,
		Engine:    engine,
		Authorize: authorizeFlight(v, d.flightOpen),
		Accessed:  d.flown,
		Version:   version.Number,
		Log:       d.o.log.With("component", "flight"),
	})
	if err != nil {
		l.Close()
		return err
	}
	listening := &listener{name: "flight", url: scheme + l.HostPort(), taken: l.TakenPort, srv: door}
	listening.part = d.group.Go(listening.name, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = door.Shutdown(ctx) }) // which has ended
		defer stop()
		return door.Serve(l)
	})
	d.listeners = append(d.listeners, listening)
	return nil
}

// flown records an access by Flight SQL as one by api.
func (d *daemon) flown(ctx context.Context, a flight.Access) {
	d.accessed(ctx, serve.Access{
		Grant: a.Grant, Door: "flight", Peer: a.Peer, Method: a.Method, Request: a.SQL, Rows: a.Rows, Err: a.Err, Start: a.Start, Duration: a.Duration,
	})
}

// authorizeFlight lets those in that api lets in: whom the verifier knows and, where
// it is open, whoever brings nothing.
func authorizeFlight(v *authz.Verifier, open bool) func(context.Context, metadata.MD) (*authz.Grant, error) {
	return func(ctx context.Context, md metadata.MD) (*authz.Grant, error) {
		sent := md.Get("authorization")
		if len(sent) == 0 && open {
			return serve.Loopback(), nil
		}
		var chain []*x509.Certificate
		if p, ok := peer.FromContext(ctx); ok {
			if t, ok := p.AuthInfo.(credentials.TLSInfo); ok {
				chain = t.State.PeerCertificates
			}
		}
		return v.Caller(ctx, sent, chain)
	}
}
