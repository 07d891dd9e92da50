// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Reach says whether a server answers for the database that a DSN names. Nothing
// is made there, and no more is asked than that.
func Reach(ctx context.Context, dsn string) error {
	s, err := connect(dsn, "")
	if err != nil {
		return err
	}
	err = s.failed("open ClickHouse", s.exec(ctx, nil, "SELECT 1"))
	return errors.Join(err, s.close())
}

// dialing returns how to connect for the native protocol. The driver's own way heeds
// no context: who no longer wants a server that does not answer would wait for it.
func dialing(o *clickhouse.Options) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		dialer := &net.Dialer{Timeout: o.DialTimeout}
		var conn net.Conn
		var err error
		if o.TLS == nil {
			conn, err = dialer.DialContext(ctx, "tcp", addr)
		} else {
			conn, err = (&tls.Dialer{NetDialer: dialer, Config: o.TLS}).DialContext(ctx, "tcp", addr)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		return &greeted{
			Conn: conn,
			stay: context.AfterFunc(ctx, func() { _ = conn.Close() }),
			why:  func() error { return context.Cause(ctx) },
		}, nil
	}
}

// A greeted connection ends with the context by which it was dialled, until the server
// says its first word. From then on the driver heeds contexts itself, those of queries.
type greeted struct {
	net.Conn

	stay func() bool  // nil when the server has spoken
	why  func() error // it ended before
}

func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.stay == nil {
		return n, err
	}
	if !g.stay() { // before or after it spoke: the connection is closed
		return 0, g.why()
	}
	g.stay = nil
	return n, err
}

// Write is the driver's first word, mostly.
func (g *greeted) Write(b []byte) (int, error) {
	n, err := g.Conn.Write(b)
	if err != nil && g.stay != nil && g.why() != nil {
		err = g.why()
	}
	return n, err
}

// SyscallConn is asked by the driver, which looks whether a connection in its pool is
// still good.
func (g *greeted) SyscallConn() (syscall.RawConn, error) {
	conn := g.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if s, ok := conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// chatter is what the driver says around what went wrong, of which [Error] tells where
// and by what: with HTTP that is the whole URL of a request.
var chatter = regexp.MustCompile(`failed to query server hello: |failed to query server hello info: |sendQuery: |(Get|Post) "https?://[^"]*": `)

// brief returns err, or one with less words that is err for whoever asks.
func brief(err error) error {
	if text := chatter.ReplaceAllString(err.Error(), ""); text != err.Error() {
		return shortened{text, err}
	}
	return err
}

type shortened struct {
	text string
	err  error
}

func (s shortened) Error() string { return s.text }
func (s shortened) Unwrap() error { return s.err }
