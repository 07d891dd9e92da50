// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// quiet brings JetStream to rest when the server begins to stop.
//
// nats-server 2.15 stops JetStream while its clients are still served, and
// closes connections and workers last. What a client asked for in between is
// still done: the first message of a batch that is handled after its stream let
// go of its batches, and a stream that is created after those of the account
// were listed, open a store that nobody stops. Its goroutines run until the
// batch times out, or for ever, and write into a directory that the test is
// removing. A process that ends with its server never sees this; a test that
// stops a server under load does.
//
// The server closes its account resolver at the one moment that is of use: new
// connections are refused by then, and JetStream is whole. The resolver is
// asked for nothing else here, because accounts are configured.
type quiet struct {
	server.MemAccResolver
	srv *server.Server // set by Start before the server is started
	err error          // set by Close; read when the server is gone
}

var _ server.AccountResolver = (*quiet)(nil)

// Close cuts all clients off, has JetStream refuse what is still on its way,
// and waits until nothing that it took before is being worked on. Clients see
// what they see of any stop: a connection that ends, and no answer.
func (q *quiet) Close() {
	q.err = q.rest()
}

func (q *quiet) rest() error {
	// A connection that is not listed is refused, for the server is stopping.
	for {
		open, err := q.srv.Connz(&server.ConnzOptions{State: server.ConnOpen})
		if err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
		if open.NumConns == 0 {
			break
		}
		for _, c := range open.Conns {
			_ = q.srv.DisconnectClientByID(c.Cid) // it may have gone by itself
		}
	}
	// What was read from a connection may be parsed after its end. An account
	// with limits for a tier that no stream has takes no message, no stream and
	// no consumer.
	info, err := q.srv.Jsz(&server.JSzOptions{Accounts: true})
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}
	for _, a := range info.AccountDetails {
		account, err := q.srv.LookupAccount(a.Name)
		if err != nil {
			return fmt.Errorf("look up account %s: %w", a.Name, err)
		}
		if err := account.UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"closed": {}}); err != nil {
			return fmt.Errorf("close account %s: %w", a.Name, err)
		}
	}
	for deadline := time.Now().Add(restTimeout); ; time.Sleep(time.Millisecond) {
		busy, err := q.busy()
		if err != nil {
			return err
		}
		if len(busy) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for JetStream to rest: busy with %s", strings.Join(busy, ", "))
		}
	}
}

// restTimeout bounds the work that a server has taken, generously: it is a
// deadlock of the server when it is over.
const restTimeout = time.Minute

// busy names what JetStream is working on.
func (q *quiet) busy() ([]string, error) {
	var busy []string
	for name, queue := range *q.srv.Ipqueuesz(&server.IpqueueszOptions{}) {
		// Of a stream, the messages that came in: what goes out has no reader.
		if strings.HasSuffix(name, " messages") {
			busy = append(busy, fmt.Sprintf("%s: %d and %d", name, queue.Pending, queue.InProgress))
		}
	}
	info, err := q.srv.Jsz(nil)
	if err != nil {
		return nil, fmt.Errorf("ask JetStream for its requests: %w", err)
	}
	if n := info.API.Inflight; n > 0 {
		busy = append(busy, fmt.Sprintf("%d API requests", n))
	}
	return busy, nil
}
