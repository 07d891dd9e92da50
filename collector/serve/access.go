// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/collector/authz"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// An Access is one request to read, whatever became of it: also when it could not be
// read itself.
type Access struct {
	Grant    *authz.Grant // who asked; nil where nobody is known
	Door     string       // by which they came in: api, socket, directory
	Peer     string       // their network address; "" where there is none
	Method   string       // such as SearchEvents; of what is no method, such as GET /v1/nothing
	Request  string       // as JSON, cut when it is long; of what could not be read, the path
	Rows     int64        // events, rows or operations that were sent
	Err      error        // why it was refused or ended early; nil when it did not
	Start    time.Time
	Duration time.Duration
	Began    bool // a tail that follows has begun; another Access tells how it ended
	// Count is how many requests this one stands for, all of callers whom nobody
	// knows and of one network: it is the last of them, and Start the first's. 0 is
	// one.
	Count int64
}

// needs is what each method of the service asks for. What is not in it cannot be
// called.
var needs = map[string]authz.Capability{
	auditv1.AuditService_SearchEvents_FullMethodName:   authz.Read,
	auditv1.AuditService_GetEvent_FullMethodName:       authz.Read,
	auditv1.AuditService_ListOperations_FullMethodName: authz.List,
	auditv1.AuditService_GetOperation_FullMethodName:   authz.Read,
	auditv1.AuditService_Tail_FullMethodName:           authz.Tail,
	auditv1.AuditService_Query_FullMethodName:          authz.SQL,
	auditv1.AuditService_Stats_FullMethodName:          authz.List,
	auditv1.AuditService_GetPlan_FullMethodName:        authz.List,
	auditv1.AuditService_ListPlans_FullMethodName:      authz.List,
	auditv1.AuditService_GetLedger_FullMethodName:      authz.List,
	auditv1.AuditService_StartReplay_FullMethodName:    authz.Replay,
	auditv1.AuditService_GetReplay_FullMethodName:      authz.Replay,
}

// open are services that hold no events, and that clients ask before they have a
// token.
var open = map[string]bool{
	grpc_health_v1.Health_Check_FullMethodName: true,
	grpc_health_v1.Health_Watch_FullMethodName: true,
	grpc_health_v1.Health_List_FullMethodName:  true,

	grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName:      true,
	grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: true,
}

// A caller is who stands at a door. A door puts one into the context of each
// request, whether it knows who that is or not.
type caller struct {
	grant *authz.Grant
	err   error // why grant is nil
	door  string
	peer  string

	tagged atomic.Bool // gRPC has taken it for a call
	told   atomic.Bool // of the request, or its call will be when it ends
}

type callerKey struct{}

func withCaller(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{err: &authz.Error{Err: authz.ErrUnauthenticated, Reason: "nobody said who asks"}}
}

// A call is a request under way.
type call struct {
	access Access
	rows   atomic.Int64
	ctx    context.Context    // of the handler
	cancel context.CancelFunc // ends ctx
}

type callKey struct{}

// sent counts what went to the caller of ctx.
func sent(ctx context.Context, n int) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.rows.Add(int64(n))
	}
}

// begin starts a call: who asks, may they, until when. end must be called once,
// with what became of it, also of one that err refuses.
func (s *Server) begin(ctx context.Context, method string, request any) (c *call, err error) {
	who := callerOf(ctx)
	who.told.Store(true)
	c = &call{access: Access{Grant: who.grant, Door: who.door, Peer: who.peer, Method: lastPart(method), Request: text(request), Start: s.cfg.Now()}}
	c.ctx, c.cancel = context.WithCancel(ctx)
	need, known := needs[method]
	switch {
	case who.err != nil:
		return c, who.err
	case !known:
		return c, &authz.Error{Err: authz.ErrDenied, Reason: fmt.Sprintf("nobody may call %s", lastPart(method))}
	}
	if err := who.grant.May(need); err != nil {
		return c, err
	}
	if !who.grant.Expires.IsZero() {
		left := who.grant.Expires.Sub(s.cfg.Now())
		c.ctx, c.cancel = context.WithTimeoutCause(ctx, left, errExpired)
	}
	c.ctx = context.WithValue(authz.NewContext(c.ctx, who.grant), callKey{}, c)
	return c, c.ctx.Err()
}

// end tells of the access and returns err as the wire has it.
func (s *Server) end(c *call, err error) error {
	if cause := context.Cause(c.ctx); err != nil && (errors.Is(cause, errExpired) || errors.Is(cause, stopping{})) {
		err = cause
	}
	over := c.ctx.Err() != nil
	c.cancel()
	c.access.Rows, c.access.Err, c.access.Duration = c.rows.Load(), err, s.cfg.Now().Sub(c.access.Start)
	if s.cfg.Accessed != nil {
		s.cfg.Accessed(context.WithoutCancel(c.ctx), c.access)
	}
	if errors.As(err, new(elsewhere)) && !over {
		s.cfg.Log.Error("the store did not answer", "method", c.access.Method, "error", err)
	}
	return toStatus(err)
}

// errExpired ends what a token began that is not valid any more.
var errExpired error = &authz.Error{Err: authz.ErrUnauthenticated, Reason: "the token has expired", Advice: "get a new one, and go on with the last resume_token"}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if open[info.FullMethod] {
		return handler(ctx, req)
	}
	c, err := s.begin(ctx, info.FullMethod, req)
	var resp any
	if err == nil {
		ctx, cancel := context.WithTimeout(c.ctx, s.cfg.Limit)
		defer cancel()
		resp, err = handler(ctx, req)
	}
	if err = s.end(c, err); err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if open[info.FullMethod] {
		return handler(srv, ss)
	}
	// The request of a stream that only the server sends is read by the handler,
	// behind the interceptor; it is read here, because the access tells of it.
	first := &firstRequest{ServerStream: ss, ctx: ss.Context()}
	request, err := first.read(info.FullMethod)
	if err != nil {
		return err
	}
	c, err := s.begin(ss.Context(), info.FullMethod, request)
	if err == nil {
		if t, ok := request.(*auditv1.TailRequest); ok && t.GetFollow() && s.cfg.Accessed != nil {
			// It may go on for weeks, or end with the power.
			began := c.access
			began.Began = true
			s.cfg.Accessed(c.ctx, began)
		}
		ctx, end := context.WithCancelCause(c.ctx)
		defer end(nil)
		defer context.AfterFunc(s.cutting, func() { end(stopping{}) })()
		c.ctx, first.ctx = ctx, ctx
		err = handler(srv, first)
	}
	return s.end(c, err)
}

// firstRequest is a stream whose only request was read already.
type firstRequest struct {
	grpc.ServerStream

	ctx     context.Context // of the handler
	request proto.Message
}

func (f *firstRequest) Context() context.Context { return f.ctx }

func (f *firstRequest) read(method string) (proto.Message, error) {
	switch method {
	case auditv1.AuditService_Tail_FullMethodName:
		f.request = new(auditv1.TailRequest)
	case auditv1.AuditService_Query_FullMethodName:
		f.request = new(auditv1.QueryRequest)
	default:
		return nil, nil
	}
	return f.request, f.ServerStream.RecvMsg(f.request)
}

func (f *firstRequest) RecvMsg(m any) error {
	if f.request == nil {
		return f.ServerStream.RecvMsg(m)
	}
	proto.Merge(m.(proto.Message), f.request)
	return nil
}

const maxText = 2048 // bytes of a request in an Access

func text(request any) string {
	m, ok := request.(proto.Message)
	if !ok || m == nil {
		return ""
	}
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return ""
	}
	return cut(string(b), maxText)
}
