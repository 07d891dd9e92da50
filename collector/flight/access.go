// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"

	"github.com/docket-audit/docket/collector/authz"
)

// An Access is a call that read, that was refused, or that went wrong.
type Access struct {
	Grant    *authz.Grant // who called; nil where nobody is known
	Peer     string       // their network address
	Method   string       // such as DoGet
	SQL      string       // what was asked, where it came to that; cut when it is long
	Rows     int64        // that were sent
	Err      error        // why it was refused or ended early
	Start    time.Time
	Duration time.Duration
}

// A call is one under way.
type call struct {
	access Access
	rows   atomic.Int64
	sql    atomic.Pointer[string] // an answer may begin while its call is ended over its head
}

type callKey struct{}

// begin begins to take note of a call.
func (d *Door) begin(ctx context.Context, method string) (context.Context, *call) {
	if t, ok := ctx.Value(tagKey{}).(*tag); ok {
		t.begun.Store(true)
	}
	c := &call{access: Access{Method: cut(lastPart(method), maxMethod), Start: d.cfg.Now()}}
	if p, ok := peer.FromContext(ctx); ok {
		c.access.Peer = p.Addr.String()
	}
	return context.WithValue(ctx, callKey{}, c), c
}

// noted returns the call of ctx.
func noted(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return new(call)
}

// end tells of a call that read something, or of which err was made: the others
// are about what could be read.
func (d *Door) end(ctx context.Context, c *call, err error) {
	if d.cfg.Accessed == nil || err == nil && c.access.Method != "DoGet" {
		return
	}
	if text := c.sql.Load(); text != nil {
		c.access.SQL = cut(*text, maxText)
	}
	c.access.Rows, c.access.Err, c.access.Duration = c.rows.Load(), err, d.cfg.Now().Sub(c.access.Start)
	d.cfg.Accessed(context.WithoutCancel(ctx), c.access)
}

// What is kept of what callers send.
const (
	maxText   = 2048 // bytes of SQL in an Access
	maxMethod = 200  // and of a method that nobody knows
)

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

func lastPart(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }

// unreadable is told how calls end. One whose message was too large, or none,
// never comes to an interceptor: it is told of here.
type unreadable struct{ door *Door }

type tagKey struct{}

// A tag is of one call.
type tag struct {
	method string
	begun  atomic.Bool // an interceptor has seen it
}

// TagRPC implements [stats.Handler].
func (unreadable) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, tagKey{}, &tag{method: i.FullMethodName})
}

// HandleRPC implements [stats.Handler].
func (u unreadable) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ended := s.(*stats.End)
	t, ok := ctx.Value(tagKey{}).(*tag)
	if !ended || !ok || end.Error == nil || t.begun.Load() {
		return
	}
	ctx, c := u.door.begin(ctx, t.method)
	md, _ := metadata.FromIncomingContext(ctx)
	c.access.Grant, _ = u.door.cfg.Authorize(ctx, md) // who is not known is nobody
	u.door.end(ctx, c, end.Error)
}

// TagConn implements [stats.Handler].
func (unreadable) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (unreadable) HandleConn(context.Context, stats.ConnStats) {}
