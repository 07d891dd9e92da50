// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/docket-audit/docket/collector/serve/servetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A docket that is stopped does not wait for those who follow it and take nothing:
// it ends, all is stored, and nothing of it is left. Who reads on is told that it
// is unavailable, and what they have goes on.
func TestStopWhileNobodyReads(t *testing.T) {
	before := goleak.IgnoreCurrent()
	const each = 30 // tails over gRPC, and in REST: a caller has 64
	dir := t.TempDir()
	config := filepath.Join(dir, "docket.toml")
	var text strings.Builder
	for _, table := range []string{"nats", "api", "flight", "ops"} {
		text.WriteString("[" + table + "]\nlisten = \"127.0.0.1:0\"\n")
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	d, err := start(t.Context(), upOptions{config: config, data: filepath.Join(dir, "d"), log: slog.New(slog.DiscardHandler), stdout: &out, stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error { return d.stop(context.WithoutCancel(t.Context())) })
	defer stop()
	address := strings.TrimPrefix(d.run.Addresses["api"], "http://")
	token, err := d.dir.Token()
	if err != nil {
		t.Fatal(err)
	}
	// Windows that do not grow with what comes: else all of it may be on its way.
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	var streams []auditv1.AuditService_TailClient
	for range each {
		stream, err := auditv1.NewAuditServiceClient(conn).Tail(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), &auditv1.TailRequest{All: true, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil { // it has begun
			t.Fatal(err)
		}
		streams = append(streams, stream)
		rest, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer rest.Close()
		if err := rest.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(rest, "GET /v1/tail?all=true&follow=true HTTP/1.1\r\nHost: docket\r\nAuthorization: Bearer %s\r\n\r\n", token); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(rest, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	// More than a window of HTTP/2 takes.
	const events = 50
	for i := range events {
		e := &ocsf.APIActivity{ActivityID: ocsf.APIActivityCreate, Base: ocsf.Base{
			Time:       time.Now().UnixMilli(),
			SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionAllowed, Message: strings.Repeat("x", 64<<10),
			Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, TenantUID: "acme", CorrelationUID: fmt.Sprintf("op-%d", i)},
			API:      &ocsf.API{Operation: "Get", Service: &ocsf.Service{Name: "acme.v1.Things"}},
			Actor:    &ocsf.Actor{AppName: "app"},
		}}
		if err := d.emitter.Emit(t.Context(), e).Spooled(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for i, stream := range streams {
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		if e := servetest.Remote(err); e == nil || e.Code != "unavailable" {
			t.Errorf("tail %d ended with %v", i, err)
		}
	}
	conn.Close()
	goleak.VerifyNone(t, before)
}

// emitOne records an event and waits until it is on the stream.
func emitOne(t *testing.T, d *daemon, uid string) {
	t.Helper()
	e := &ocsf.APIActivity{ActivityID: ocsf.APIActivityCreate, Base: ocsf.Base{
		Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionAllowed,
		Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindOutcome, TenantUID: "acme", CorrelationUID: "op"},
		API:      &ocsf.API{Operation: "Get", Service: &ocsf.Service{Name: "acme.v1.Things"}},
		Actor:    &ocsf.Actor{AppName: "app"},
	}}
	if err := d.emitter.Emit(t.Context(), e).Streamed(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Nor does it wait for a collector that has ended, though there is no deadline.
func TestStopWithoutCollector(t *testing.T) {
	dir := t.TempDir()
	var set []string
	for _, table := range []string{"nats", "api", "flight", "ops"} {
		set = append(set, table+".listen=127.0.0.1:0")
	}
	var errs bytes.Buffer
	d, err := start(t.Context(), upOptions{data: filepath.Join(dir, "d"), set: set, log: slog.New(slog.DiscardHandler), stdout: &errs, stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.collecting.Stop(); err != nil {
		t.Fatal(err)
	}
	emitOne(t, d, "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b")
	if err := d.stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if want := "stored by the next start: the collector has ended"; !strings.Contains(errs.String(), want) {
		t.Errorf("it says %s", errs.String())
	}
}
