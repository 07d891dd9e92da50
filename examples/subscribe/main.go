// SPDX-License-Identifier: Apache-2.0

// Command subscribe prints the events of a subject as they come, one JSON object
// a line, each once:
//
//	go run ./examples/subscribe nats://127.0.0.1:4222 'docket.activity.*.failure.allow.>'
//
// What is sent while it does not run it does not see: `docket tail` begins where
// one left off. docs/subscribe.md compares the two.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go"
)

// A once knows which of the last events it has had. The stream is at least once;
// epoch and sequence are headers, so that nobody has to read the event to tell.
type once struct{ now, before map[string]bool }

func (o *once) had(m *nats.Msg) bool {
	id := m.Header.Get("Docket-Epoch") + ":" + m.Header.Get("Docket-Sequence")
	if o.now[id] || o.before[id] {
		return true
	}
	if len(o.now) >= 100_000 { // an emitter sends again what is a few seconds old
		o.before, o.now = o.now, nil
	}
	if o.now == nil {
		o.now = make(map[string]bool)
	}
	o.now[id] = true
	return false
}

// subscribe writes what comes to out until ctx ends. ready is called when
// nothing that comes is missed any more.
func subscribe(ctx context.Context, url, subject string, out io.Writer, ready func()) error {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	var seen once
	_, err = nc.Subscribe(subject, func(m *nats.Msg) { // one at a time
		if !seen.had(m) {
			_, _ = out.Write(append(m.Data, '\n'))
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return nc.Drain()
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: subscribe URL SUBJECT, such as nats://127.0.0.1:4222 'docket.activity.acme.>'")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := subscribe(ctx, os.Args[1], os.Args[2], os.Stdout, func() {}); err != nil {
		log.Fatal(err)
	}
}
