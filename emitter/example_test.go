// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// An event goes to the stream of a NATS server, which `docket stream apply` has
// made.
func Example() {
	url, dir, stop := broker()
	defer stop()

	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	check(err)
	defer nc.Close()
	em, err := emitter.New(emitter.Config{Dir: dir, Name: "billing-0", Conn: nc})
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() { check(em.Run(ctx)) }()

	receipt := em.Emit(ctx, &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityDelete, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational, Message: "alice deleted invoice 7",
			Metadata: ocsf.Metadata{EventCode: "action", TenantUID: "acme"},
		},
	})
	check(receipt.Spooled(ctx))  // on stable storage here
	check(receipt.Streamed(ctx)) // acknowledged by JetStream
	check(em.Close(ctx))
	fmt.Println("streamed:", em.State().Streamed, "events: the start of the epoch, ours, its end")
	// Output: streamed: 3 events: the start of the epoch, ours, its end
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// broker runs a NATS server with the stream, and returns its URL and an empty
// directory.
func broker() (url, empty string, stop func()) {
	dir, err := os.MkdirTemp("", "emitter")
	check(err)
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "jetstream"), SyncAlways: true, NoSigs: true, NoLog: true,
		JetStreamMaxStore: 64 << 30,
	})
	check(err)
	go srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		log.Fatal("NATS is not ready")
	}
	nc, err := nats.Connect(srv.ClientURL())
	check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	check(err)
	check(stream.Apply(context.Background(), js))
	return srv.ClientURL(), filepath.Join(dir, "wal"), func() {
		srv.Shutdown()
		srv.WaitForShutdown()
		check(os.RemoveAll(dir))
	}
}
