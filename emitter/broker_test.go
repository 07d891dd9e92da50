// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
)

// A broker is a NATS server that goes and comes back with what it had.
type broker interface {
	Start()
	Stop()
	URL() string
	JetStream(t testing.TB) jetstream.JetStream
}

var (
	_ broker = (*natstest.Server)(nil)
	_ broker = (*mortal)(nil)
)

// A mortal is a NATS server in a process of its own, which Stop kills with SIGKILL.
type mortal struct {
	t     *testing.T
	port  int
	store string
	runs  *running // nil when it does not
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{t: t, port: natstest.FreePort(t), store: t.TempDir()}
	m.Start()
	t.Cleanup(m.Stop)
	return m
}

// Start returns when the server takes connections.
func (m *mortal) Start() {
	m.t.Helper()
	if m.runs != nil {
		return
	}
	told, err := json.Marshal(life{Dir: m.store, Port: m.port})
	if err != nil {
		m.t.Fatal(err)
	}
	m.runs = startChild(m.t, told, "")
	for {
		nc, err := nats.Connect(m.URL())
		if err == nil {
			nc.Close()
			return
		}
		select {
		case err := <-m.runs.exited:
			m.t.Fatalf("the NATS server ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (m *mortal) Stop() {
	if m.runs == nil {
		return
	}
	_ = m.runs.cmd.Process.Kill()
	<-m.runs.exited
	m.runs = nil
}

func (m *mortal) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", m.port) }

func (m *mortal) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(m.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// serve is the child's side of a mortal: the server that package natstest runs. It
// ends when who started it does.
func (l *life) serve() error {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: l.Port, JetStream: true, StoreDir: l.Dir, SyncAlways: true, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		return err
	}
	go srv.Start()
	_, _ = os.Stdin.Read(make([]byte, 1))
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}
