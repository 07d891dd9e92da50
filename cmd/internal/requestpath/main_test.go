// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal takes events; the first ones fail as often as it says.
type journal struct {
	mu     sync.Mutex
	events []string // guarded by mu
	refuse int      // guarded by mu
	log    syncBuffer
}

// A syncBuffer is written to while others read it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type ack struct{ err error }

func (a ack) Spooled(context.Context) error { return a.err }

func (j *journal) emit(_ context.Context, e ocsf.Event) activity.Ack {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse > 0 {
		j.refuse--
		return ack{errors.New("emitter queue is full")}
	}
	raw, err := json.Marshal(e)
	j.events = append(j.events, string(raw))
	return ack{err}
}

func (j *journal) last() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == 0 {
		return ""
	}
	return j.events[len(j.events)-1]
}

// A judge declares its bindings and allows all.
type judge struct{ bindings []string }

func (j judge) Describe(context.Context) (*interceptor.Manifest, error) {
	m := &interceptor.Manifest{Name: "p"}
	for _, id := range j.bindings {
		m.Bindings = append(m.Bindings, interceptor.Binding{ID: id, RPCs: []string{"s.S/M"}, Phases: []interceptor.Phase{interceptor.Validate}})
	}
	return m, nil
}

func (judge) Evaluate(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

// served serves an interceptor at a socket until the test, or stop, ends it.
func served(t *testing.T, i interceptor.Interceptor, opts ...remote.Option) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "i.sock")
	return socket, serveAt(t, socket, i, opts...)
}

func serveAt(t *testing.T, socket string, i interceptor.Interceptor, opts ...remote.Option) (stop func()) {
	t.Helper()
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = remote.Serve(ctx, lis, i, opts...) // who calls it notices
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// chain is a file with one interceptor, "p", at a socket.
func chain(socket string) string {
	return "[gateway]\nupstream = \"http://127.0.0.1:1\"\nunmatched = \"allow\"\n[tokens]\ngateway_id = \"g\"\n" +
		"[[interceptors]]\nname = \"p\"\nbinding_policy = \"dynamic\"\ngrpc_endpoint = \"unix://" + socket + "\"\nfailure_policy = \"fail_closed\"\n"
}

// open opens a path whose chain file is the text, and returns how to change that.
func open(t *testing.T, j *journal, text string) (*Path, *datadir.Dir, func(text string)) {
	t.Helper()
	dir, err := datadir.Own(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	file := filepath.Join(t.TempDir(), "docket.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	cfg, err := config.Load(file, nil, []string{"gateway.listen=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), cfg, dir, nil, slog.New(slog.NewTextHandler(&j.log, nil)), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.emit = j.emit
	t.Cleanup(func() {
		select {
		case <-p.closed:
			return // by the test
		default:
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p, dir, write
}
