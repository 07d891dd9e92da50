// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"google.golang.org/grpc/stats"
)

// What is cut of a request that no interceptor has seen: nobody has checked how
// long it is.
const maxMethod = 200 // bytes of a method in an Access

// unread tells of a request that could not be read, so that no call began: err is
// what its caller is told, request what is known of what they asked. Of one that
// has been told of it tells nothing.
func (s *Server) unread(ctx context.Context, method, request string, err error) {
	c := callerOf(ctx)
	if s.cfg.Accessed == nil || !c.told.CompareAndSwap(false, true) {
		return
	}
	if c.grant == nil && !s.has(method) {
		method, request = unknownMethod, cmp.Or(request, cut(method, maxMethod))
	}
	s.cfg.Accessed(context.WithoutCancel(ctx), Access{
		Grant: c.grant, Door: c.door, Peer: c.peer, Method: cut(method, maxMethod), Request: cut(request, maxText), Err: err, Start: s.cfg.Now(),
	})
}

// unknownMethod is the method of what asks for none that there is.
const unknownMethod = "unknown"

// has says whether there is a method, or an endpoint beside those of the service, of
// a name.
func (s *Server) has(name string) bool {
	for method := range needs {
		if lastPart(method) == name {
			return true
		}
	}
	return slices.ContainsFunc(s.beside(), func(r route) bool { return r.method+" "+r.path == name })
}

// unreadHTTP is unread of a request that is no call of the service. What is behind
// the path may be anything, a token too.
func (s *Server) unreadHTTP(r *http.Request, err error) {
	if clean := path.Clean(r.URL.Path); clean == "/v1" || strings.HasPrefix(clean, "/v1/") {
		s.unread(r.Context(), r.Method+" "+r.URL.Path, "", err)
	}
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// serveGRPC answers a call, and tells of one that does not speak gRPC. A call that
// does may still be ending when it returns.
func (s *Server) serveGRPC(w http.ResponseWriter, r *http.Request) {
	hungUp := make(chan struct{})
	leave := context.AfterFunc(s.closing, func() {
		defer close(hungUp)
		hangUp(r.Context())
	})
	defer func() {
		if !leave() { // w must outlast it
			<-hungUp
		}
	}()
	s.grpc.ServeHTTP(w, r)
	if callerOf(r.Context()).tagged.Load() || r.Context().Err() != nil {
		return
	}
	s.unread(r.Context(), lastPart("/"+r.URL.Path), cut(r.URL.Path, maxMethod), fmt.Errorf("%w: it is no call of gRPC that can be read", ErrInvalid))
}

// unreadable is told how calls begin and end: those of no method, and those whose
// message was too large, or none, never come to an interceptor.
type unreadable struct{ server *Server }

type methodKey struct{}

// TagRPC implements [stats.Handler].
func (u unreadable) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	method := i.FullMethodName
	callerOf(ctx).tagged.Store(true)
	if _, known := needs[method]; !known && !open[method] {
		u.server.unread(ctx, lastPart(method), cut(method, maxMethod), fmt.Errorf("%w: there is no such method", ErrUnsupported))
	}
	return context.WithValue(ctx, methodKey{}, method)
}

// HandleRPC implements [stats.Handler].
func (u unreadable) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ok := s.(*stats.End)
	method, _ := ctx.Value(methodKey{}).(string)
	if ok && end.Error != nil && !open[method] {
		u.server.unread(ctx, lastPart(method), method, end.Error)
	}
}

// TagConn implements [stats.Handler].
func (unreadable) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (unreadable) HandleConn(context.Context, stats.ConnStats) {}
