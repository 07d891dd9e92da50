// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
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

type permissive struct{}

func (permissive) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "p", Bindings: []interceptor.Binding{{ID: "b", RPCs: []string{"s.S/M"}, Phases: []interceptor.Phase{interceptor.Validate}}}}, nil
}

func (permissive) Evaluate(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
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
	p, err := Open(t.Context(), cfg, dir, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.emit = j.emit
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p, dir, write
}

// A chain that is reloaded is in force, kept and stated; one that is refused
// leaves the old one, and an event.
func TestReload(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "i.sock")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- remote.Serve(ctx, lis, permissive{}) }()
	t.Cleanup(func() { cancel(); <-served })

	text := "[gateway]\nupstream = \"http://127.0.0.1:1\"\nunmatched = \"allow\"\n[tokens]\ngateway_id = \"g\"\n" +
		"[[interceptors]]\nname = \"p\"\nbinding_policy = \"dynamic\"\ngrpc_endpoint = \"unix://" + socket + "\"\nfailure_policy = \"fail_closed\"\n"
	j := &journal{}
	p, dir, write := open(t, j, text)
	if !strings.Contains(string(p.JWKS()), "Ed25519") {
		t.Errorf("the key set is %s", p.JWKS())
	}
	first := p.Plan().Digest()
	if err := p.Reload(t.Context()); err != nil || p.Plan().Digest() != first || j.last() != "" {
		t.Errorf("reloaded as it was: %v, %s", err, j.last())
	}

	write(strings.Replace(text, "allow", "deny", 1))
	if err := p.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := p.Plan().Digest()
	if second == first || !strings.Contains(j.last(), second) {
		t.Errorf("plan %s after %s; stated %s", second, first, j.last())
	}
	if _, err := os.Stat(dir.Join("plans", strings.TrimPrefix(second, "sha256:")+".json")); err != nil {
		t.Error(err)
	}

	write("[gateway")
	if err := p.Reload(t.Context()); err == nil || p.Plan().Digest() != second || !strings.Contains(j.last(), "reload chain") {
		t.Errorf("a bad file: %v, plan %s, event %s", err, p.Plan().Digest(), j.last())
	}
}

// A statement that was refused is in the next one.
func TestUngovernedCountsAreNotLost(t *testing.T) {
	j := &journal{refuse: 1}
	p, _, _ := open(t, j, "[gateway]\nupstream = \"http://127.0.0.1:1\"\nunmatched = \"allow\"\n")
	calls := int64(3)
	p.passed = func() map[string]int64 { return map[string]int64{"s.S/M": calls} }
	p.state(t.Context())
	if j.last() != "" || len(p.stated) != 0 {
		t.Errorf("a refused statement counts: %v", p.stated)
	}
	calls = 5
	p.state(t.Context())
	if !strings.Contains(j.last(), `"ungoverned":{"s.S/M":5}`) {
		t.Errorf("stated %s", j.last())
	}
	calls = 6
	p.state(t.Context())
	if !strings.Contains(j.last(), `"ungoverned":{"s.S/M":1}`) || !strings.Contains(j.last(), `"ungoverned_total":{"s.S/M":6}`) {
		t.Errorf("stated %s", j.last())
	}
}
