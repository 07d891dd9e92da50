// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// tight is a listener whose connections buffer little.
type tight struct{ net.Listener }

func (l tight) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// A server ends while nobody takes what it sends: those who are in the process,
// those over gRPC, and those in REST, whose connections the listener closes. Who
// reads on is told that it was not all, and goes on behind what they have.
func TestCloseWhileNobodyReads(t *testing.T) {
	const each = 15 // by each door
	m := newShelf()
	for range 32 {
		n := len(m.entries) + 1
		m.put(t, sealed(t, "acme", n, fmt.Sprintf("event-%d", n), fmt.Sprintf("op-%d", n), strings.Repeat("x", 64<<10)))
	}
	began, inside := make(chan struct{}, 4*each), make(chan error, each)
	s := serve.New(serve.Config{Store: m, Commits: m.Commits, Poll: time.Millisecond, Grace: time.Nanosecond, Accessed: func(_ context.Context, a serve.Access) {
		if a.Began {
			began <- struct{}{}
			return
		}
		if a.Door == "directory" {
			inside <- a.Err
		}
	}})
	forREST, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forGRPC, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var answering, serving sync.WaitGroup
	h := s.Handler(serve.Door{Name: "api", Authenticate: authenticate})
	web := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answering.Add(1)
		defer answering.Done()
		h.ServeHTTP(w, r)
	})}
	web.Protocols.SetHTTP1(true)
	web.Protocols.SetUnencryptedHTTP2(true)
	serving.Go(func() { _ = web.Serve(tight{forREST}) })
	serving.Go(func() { _ = web.Serve(forGRPC) }) // which has windows of its own

	request := &auditv1.TailRequest{All: true, Follow: true, Whole: true}
	streams := map[string][]auditv1.AuditService_TailClient{}
	conn, err := grpc.NewClient(forGRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range each {
		within, err := s.Client(grants["admin"], "directory").Tail(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		over, err := auditv1.NewAuditServiceClient(conn).Tail(as(t.Context(), "admin"), request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := auditv1.NewAuditServiceClient(conn).Tail(as(t.Context(), "admin"), request); err != nil { // nobody ever reads it
			t.Fatal(err)
		}
		streams["directory"], streams["gRPC"] = append(streams["directory"], within), append(streams["gRPC"], over)
		rest, err := net.Dial("tcp", forREST.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer rest.Close()
		if err := rest.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(rest, "GET /v1/tail?all=true&follow=true&whole=true HTTP/1.1\r\nHost: docket\r\nAuthorization: Bearer admin\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 * each {
		<-began
	}
	s.Drain()
	for range each { // until they are, who reads may get all of it
		if err := <-inside; !errors.Is(err, follow.ErrStopped) {
			t.Errorf("it ended with %v", err)
		}
	}
	// Who reads now gets what was under way, and how to go on.
	for door, all := range streams {
		for i, stream := range all {
			items, token := 0, ""
			var err error
			for err == nil {
				var item *auditv1.TailResponse
				if item, err = stream.Recv(); err == nil && item.GetEvent() != nil {
					items, token = items+1, item.GetResumeToken()
				}
			}
			if errors.Is(err, io.EOF) && items == len(m.entries) {
				continue // it was taken whole before it was cut
			}
			if e := servetest.Remote(err); e == nil || e.Code != "unavailable" || !strings.Contains(e.Advice, "resume_token") || items >= len(m.entries) {
				t.Errorf("%s %d: %d events, and the end is %+v: %v", door, i, items, e, err)
			}
			if i > 0 {
				continue
			}
			next := start(t, m)
			q := &auditv1.TailRequest{All: token == "", ResumeToken: token}
			if rest := next.byGRPC(t, "admin", "Tail", q); rest.Error != nil || items+len(rest.Messages) != len(m.entries) {
				t.Errorf("%s: %d events, and %d of %d behind them: %v", door, items, len(rest.Messages), len(m.entries), rest.Error)
			}
		}
	}
	s.Close() // with those still there who take nothing
	web.Close()
	serving.Wait()
	answering.Wait()
}
