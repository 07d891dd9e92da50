// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"net"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/stream"
)

func TestBrokerKeepsItsStreamAndMovesItsPort(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for run := range uint64(2) {
		b, err := Start(dir, busy.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b.URL() == "nats://"+busy.Addr().String() {
			t.Errorf("listens on the busy port: %s", b.URL())
		}
		nc, err := b.Connect("test")
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if err := stream.Apply(ctx, js); err != nil {
			t.Fatal(err)
		}
		if err := stream.Check(ctx, js); err != nil {
			t.Fatal(err)
		}
		ack, err := js.Publish(ctx, "docket.activity.a.b.c.d.e.f", []byte("x"))
		if err != nil || ack.Sequence != run+1 {
			t.Errorf("run %d: published as %+v, %v", run, ack, err)
		}
		nc.Close()
		b.Close()
	}
}
