// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/docket-audit/docket/collector/authz"
)

// An Access is a call that read, or that was refused.
type Access struct {
	Grant    *authz.Grant // who called; nil where nobody is known
	Peer     string       // their network address
	Method   string       // such as DoGet
	SQL      string       // what was asked, where it came to that
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
	c := &call{access: Access{Method: method[strings.LastIndexByte(method, '/')+1:], Start: d.cfg.Now()}}
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

// end tells of a call that read something, or was refused: the others are about
// what could be read.
func (d *Door) end(ctx context.Context, c *call, refused bool, err error) {
	if d.cfg.Accessed == nil || !refused && c.access.Method != "DoGet" {
		return
	}
	if text := c.sql.Load(); text != nil {
		c.access.SQL = *text
	}
	c.access.Rows, c.access.Err, c.access.Duration = c.rows.Load(), err, d.cfg.Now().Sub(c.access.Start)
	d.cfg.Accessed(context.WithoutCancel(ctx), c.access)
}
