// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package compose_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/docket-audit/docket/cmd/internal/compose"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/devsecrets"
	"github.com/docket-audit/docket/cmd/internal/otlptest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// An engine starts what is ours of a profile as processes, in the order of
// depends_on, with the command lines, files, secrets, variables and health checks
// of the file, and the NATS servers in this process. What it changes is where they
// listen, so that it needs no network of its own.
type engine struct {
	*machine
	bin     map[string]string // by image
	running map[string]*part
	order   []string
}

type part struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *output
	done  chan struct{}
	err   error
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func build(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	bin := map[string]string{}
	for _, name := range []string{"docket", "docket-gateway"} {
		bin[name] = filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", bin[name], "github.com/docket-audit/docket/cmd/"+name).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return bin
}

// data is the data directory of a service.
func (e *engine) data(s *types.ServiceConfig) string { return e.path(s, "/data") }

// start starts a service when what it waits for is as it has to be.
func (e *engine) start(name string) {
	e.t.Helper()
	s, ok := e.Services[name]
	if !ok || e.running[name] != nil || e.bin[s.Image] == "" {
		return
	}
	for dependency, d := range s.DependsOn {
		other, ok := e.Services[dependency]
		if !ok || e.bin[other.Image] == "" {
			continue
		}
		e.start(dependency)
		switch d.Condition {
		case "service_completed_successfully":
			if p := e.running[dependency]; !p.ends(time.Minute) || p.err != nil {
				e.t.Fatalf("%s: %v\n%s", dependency, p.err, p.out)
			}
		case "service_healthy":
			e.eventually(dependency+" is healthy", func() error { return e.health(&other) })
		default:
			e.t.Fatalf("%s waits for %s to be %s", name, dependency, d.Condition)
		}
	}
	p := &part{out: &output{}, done: make(chan struct{})}
	args := slices.Clone(s.Command)
	for i, arg := range args {
		args[i] = e.here(&s, arg)
	}
	p.cmd = exec.Command(e.bin[s.Image], args...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.root(&s), "TMPDIR=" + e.dir}
	for _, kv := range compose.Environ(&s) {
		key, value, _ := strings.Cut(kv, "=")
		p.cmd.Env = append(p.cmd.Env, key+"="+e.here(&s, value))
	}
	for _, listener := range []string{"GATEWAY", "API", "FLIGHT", "OPS"} {
		p.cmd.Env = append(p.cmd.Env, "DOCKET_"+listener+"_LISTEN=127.0.0.1:0")
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if s.StdinOpen {
		var err error
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			e.t.Fatal(err)
		}
	}
	if err := p.cmd.Start(); err != nil {
		e.t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	e.running[name] = p
	e.order = append(e.order, name)
	e.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if e.t.Failed() {
			e.t.Logf("%s printed:\n%.4000s", name, p.out)
		}
	})
}

func (p *part) ends(limit time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(limit):
		return false
	}
}

// health runs a service's health check, and notes where it listens.
func (e *engine) health(s *types.ServiceConfig) error {
	test := slices.Clone(s.HealthCheck.Test[1:])
	target := e.here(s, test[len(test)-1])
	if path, ok := strings.CutPrefix(target, "http://127.0.0.1:9090"); ok {
		run, err := datadir.Owner(e.data(s))
		if err != nil {
			return err
		}
		target = run.Addresses["ops"] + path
		if proxy := run.Addresses["proxy"]; proxy != "" {
			names := []string{s.Name}
			if n := s.Networks["default"]; n != nil {
				names = append(names, n.Aliases...)
			}
			for _, name := range names {
				e.addresses[name+":7070"] = strings.TrimPrefix(proxy, "http://")
			}
		}
	}
	test[len(test)-1] = target
	if out, err := exec.Command(e.bin[filepath.Base(test[0])], test[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", test, err, out)
	}
	return nil
}

func (e *engine) eventually(what string, ok func() error) {
	e.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		for _, name := range e.order {
			p, s := e.running[name], e.Services[name]
			if p.ends(0) && s.Restart == "unless-stopped" {
				e.t.Fatalf("waiting until %s: %s ended: %v", what, name, p.err)
			}
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("waiting until %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// startClickHouse starts an engine in the place of the server, and has it do what that
// is configured to do when it starts; then the server's own health check is content.
// What comes then may do what docket is granted, and nothing else.
func (m *machine) startClickHouse() {
	m.t.Helper()
	s := m.Services["clickhouse"]
	e := chdbtest.Start(m.t, "")
	at, err := url.Parse(e.DSN())
	if err != nil {
		m.t.Fatal(err)
	}
	var config struct {
		Queries []string `xml:"startup_scripts>scripts>query"`
	}
	if err := xml.Unmarshal([]byte(read(m.t, m.path(&s, "/etc/clickhouse-server/config.d/docket.xml"))), &config); err != nil {
		m.t.Fatal(err)
	}
	check := strings.Replace(s.HealthCheck.Test[len(s.HealthCheck.Test)-1], "127.0.0.1:8123", at.Host, 1)
	ask := func(method, url string) int {
		m.t.Helper()
		req, err := http.NewRequestWithContext(m.t.Context(), method, url, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			m.t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(http.MethodGet, check); got == http.StatusOK {
		m.t.Errorf("%s is content with a server that has no database", check)
	}
	for _, query := range config.Queries {
		if got := ask(http.MethodPost, "http://"+at.Host+"/?query="+url.QueryEscape(query)); got != http.StatusOK {
			m.t.Errorf("%s: %d", query, got)
		}
	}
	if got := ask(http.MethodGet, check); got != http.StatusOK {
		m.t.Errorf("%s: %d", check, got)
	}
	e.Stop()
	var users struct {
		Grants []string `xml:"users>docket>grants>query"`
	}
	if err := xml.Unmarshal([]byte(read(m.t, m.path(&s, "/etc/clickhouse-server/users.d/docket.xml"))), &users); err != nil {
		m.t.Fatal(err)
	}
	if at, err = url.Parse(chdbtest.StartAs(m.t, e.Dir(), users.Grants).DSN()); err != nil {
		m.t.Fatal(err)
	}
	m.addresses["clickhouse:8123"] = at.Host
}

// docket runs a verb in the container of a service.
func (e *engine) docket(s *types.ServiceConfig, args ...string) (string, error) {
	cmd := exec.Command(e.bin["docket"], append(args, "--data", e.data(s))...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docket %v: %w: %s", args, err, errs.String())
	}
	return out.String(), nil
}

// stop ends everything as an engine does, those first that nothing waits for.
func (e *engine) stop() {
	e.t.Helper()
	for _, name := range slices.Backward(e.order) {
		p := e.running[name]
		if p.ends(0) {
			continue
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if !p.ends(time.Minute) {
			e.t.Errorf("%s does not stop", name)
		}
		if image := e.Services[name]; p.err != nil && image.Command[0] != "demo" {
			e.t.Errorf("%s: %v", name, p.err)
		}
	}
}

// Each profile, from the secrets on: every service of ours becomes healthy, the
// demo's calls are governed, recorded and stored, a tenant hears its own by TLS and
// no others', and when all is stopped the history is whole.
func TestProfilesRun(t *testing.T) {
	bin := build(t)
	for _, tc := range []struct{ profile, docket, gateway string }{
		{"small", "docket", "docket-gateway"},
		{"full", "docket-full", "docket-gateway-full"},
	} {
		t.Run(tc.profile, func(t *testing.T) {
			m := newMachine(t, tc.profile)
			spans := otlptest.Start(t)
			m.addresses["otel:4317"] = strings.TrimPrefix(spans.URL, "http://")
			if _, ok := m.Services["clickhouse"]; ok {
				m.startClickHouse()
			}
			urls := m.startNATS()
			e := &engine{machine: m, bin: bin, running: map[string]*part{}}
			for name := range m.Services {
				e.start(name)
			}
			docket, gateway := e.Services[tc.docket], e.Services[tc.gateway]
			for _, s := range []types.ServiceConfig{docket, gateway} {
				e.eventually(s.Name+" is healthy", func() error { return e.health(&s) })
			}
			acme := m.connect(urls, "acme")
			heard, err := acme.SubscribeSync("docket.activity.acme.>")
			if err != nil {
				t.Fatal(err)
			}
			e.eventually("calls of both tenants are stored", func() error {
				out, err := e.docket(&docket, "query", "-o", "json", "SELECT DISTINCT tenant || ' ' || decision AS d FROM operations ORDER BY d")
				if err != nil {
					return err
				}
				var rows []struct{ D string }
				if err := json.Unmarshal([]byte(out), &rows); err != nil {
					return err
				}
				for _, want := range []string{"acme allow", "acme deny", "globex allow", "globex deny"} {
					if !slices.ContainsFunc(rows, func(r struct{ D string }) bool { return r.D == want }) {
						return fmt.Errorf("no %q in %v", want, rows)
					}
				}
				return nil
			})
			if msg, err := heard.NextMsg(30 * time.Second); err != nil || !strings.HasPrefix(msg.Subject, "docket.activity.acme.") || !strings.HasSuffix(msg.Subject, ".gateway") {
				t.Errorf("acme hears %v, %v", msg, err)
			}
			if tc.profile == "full" {
				e.eventually("spans arrive", func() error {
					for _, s := range spans.Spans() {
						if s.Resource["service.name"] == "docket-gateway" {
							return nil
						}
					}
					return fmt.Errorf("none of docket-gateway among %d", len(spans.Spans()))
				})
			}
			e.stop()
			verify := []string{"verify", "--deep"}
			if url := docket.Environment["DOCKET_STORE_URL"]; url != nil {
				store, err := config.DSN(m.here(&docket, *url)).WithPassword(read(t, m.here(&docket, *docket.Environment["DOCKET_STORE_PASSWORD_FILE"])))
				if err != nil {
					t.Fatal(err)
				}
				verify = append(verify, "--store", string(store))
				// In the place of a lake, not beside one.
				if kept, err := filepath.Glob(filepath.Join(e.data(&docket), "lake", "*")); err != nil || len(kept) > 0 {
					t.Errorf("with a store elsewhere the directory has %v, %v", kept, err)
				}
			}
			if out, err := e.docket(&docket, verify...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// The one-shot service makes what the others are given, and leaves it there.
func TestSecretsService(t *testing.T) {
	bin := build(t)["docket"]
	p, err := compose.Load(t.Context(), ".", "secrets")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "secrets")
	s := p.Services["secrets"]
	args := slices.Clone(s.Command)
	for i, arg := range args {
		if arg == s.Volumes[0].Target {
			args[i] = dir
		}
	}
	var was []byte
	for _, want := range []string{"made the secrets in " + dir, "are there"} {
		out, err := exec.Command(bin, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v: %s, want %q", err, out, want)
		}
		now, err := os.ReadFile(filepath.Join(dir, devsecrets.Password("gateway")))
		if err != nil || was != nil && !bytes.Equal(was, now) {
			t.Errorf("the password changed, or: %v", err)
		}
		was = now
	}
	all := load(t)
	for name := range all.Secrets {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
