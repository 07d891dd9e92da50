// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package dashboards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// theirs are the labels that Prometheus adds.
var theirs = []string{"le", "instance", "job"}

// rare are the metrics of what need not happen in twenty seconds of the demo. That
// each is exported TestEveryMetricIsReal says; its labels are looked for in the
// file that gives it them.
var rare = map[string]string{
	"docket_chain_audit_unavailable_total": "../interceptor/metered/metered.go",
	"docket_chain_queue_wait_seconds":      "../interceptor/metered/metered.go",
	"docket_grpcproxy_refused_calls_total": "../interceptor/grpcproxy/metrics.go",
	"docket_collector_answered_total":      "../collector/metrics.go",
	"docket_collector_compacted_total":     "../collector/metrics.go",
	"docket_collector_compaction_seconds":  "../collector/metrics.go",
	"docket_collector_compactions_total":   "../collector/metrics.go",
	"docket_collector_erased_total":        "../collector/metrics.go",
	"docket_collector_errors_total":        "../collector/metrics.go",
	"docket_collector_expired_total":       "../collector/metrics.go",
	"docket_collector_findings_total":      "../collector/metrics.go",
	"docket_collector_held":                "../collector/metrics.go",
	"docket_collector_questions_total":     "../collector/metrics.go",
	"docket_follow_missed_events_total":    "../collector/follow/metrics.go",
	"docket_follow_stored_events_total":    "../collector/follow/metrics.go",
	"docket_replay_flips_total":            "../interceptor/replay/metered/metered.go",
}

// scraped are the labels of the metrics that a process exported, over all scrapes:
// the more has happened, the more there is.
type scraped map[string]map[string]bool

// scrape reads /metrics once; what does not answer, as before it started and after
// it stopped, is left out.
func (s scraped) scrape(ops string) {
	resp, err := http.Get(ops + "/metrics")
	if err != nil {
		return
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return
	}
	for name, f := range families {
		if s[name] == nil {
			s[name] = map[string]bool{}
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				s[name][l.GetName()] = true
			}
		}
	}
}

// A process is one of the commands over a data directory.
type process struct {
	cmd   *exec.Cmd
	dir   string
	ended chan error
}

func run(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, append(args, "--data", dir)...), dir: dir, ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = t.Output(), t.Output()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(time.Minute):
			_ = p.cmd.Process.Kill()
			t.Errorf("%s did not stop", filepath.Base(name))
		}
	})
	return p
}

// addresses are where a process is, when it is up.
func (p *process) addresses(t *testing.T) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var r struct{ Addresses map[string]string }
		if data, err := os.ReadFile(filepath.Join(p.dir, "run.json")); err == nil && json.Unmarshal(data, &r) == nil && r.Addresses["ops"] != "" {
			return r.Addresses
		}
	}
	t.Fatalf("nothing runs over %s", p.dir)
	return nil
}

// Every metric that dashboards, alerts and their tests name, with every label by
// which they select and group, is one of the running product: docket and
// docket-gateway, scraped as Prometheus would.
func TestEveryLabelIsReal(t *testing.T) {
	dir, err := os.MkdirTemp("", "docket") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"docket", "docket-gateway"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "../cmd/"+name).CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	docket := run(t, filepath.Join(dir, "d"), filepath.Join(dir, "docket"), "up", "--demo")
	at := docket.addresses(t)
	gateway := run(t, filepath.Join(dir, "g"), filepath.Join(dir, "docket-gateway"), "--config", besides(t, docket.dir, at["nats"]))
	beside := gateway.addresses(t)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var subscribing sync.WaitGroup
	defer func() { cancel(); subscribing.Wait() }()
	call(t, strings.TrimPrefix(beside["proxy"], "http://"))
	subscribing.Go(func() { subscribe(ctx, at["api"]) })
	token, err := os.ReadFile(filepath.Join(docket.dir, "keys", "api.token"))
	if err != nil {
		t.Fatal(err)
	}
	of, ofGateway := scraped{}, scraped{}
	for second := 0; ctx.Err() == nil; second++ {
		select {
		case err := <-docket.ended:
			t.Fatalf("docket up ended: %v", err)
		case err := <-gateway.ended:
			t.Fatalf("docket-gateway ended: %v", err)
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		of.scrape(at["ops"])
		ofGateway.scrape(beside["ops"])
		if second == 5 { // there is a history
			if err := replay(ctx, at["api"], strings.TrimSpace(string(token))); err != nil {
				t.Error(err)
			}
		}
	}

	for name := range ofGateway {
		if _, own := strings.CutPrefix(name, "docket_collector_"); own {
			t.Errorf("docket-gateway exports %s", name)
		}
	}
	for _, name := range []string{"docket_chain_shadow_total", "docket_grpcproxy_ungoverned_calls_total", "docket_emitter_connected"} {
		if ofGateway[name] == nil {
			t.Errorf("docket-gateway does not export %s", name)
		}
	}
	for name, labels := range ofGateway {
		if of[name] == nil {
			of[name] = map[string]bool{}
		}
		maps.Copy(of[name], labels)
	}
	for _, u := range used(t) {
		name := strings.TrimSuffix(u.metric, "_bucket")
		labels, there := of[name]
		file, allowed := rare[name]
		if !there && !allowed {
			t.Errorf("%s: %s is exported by no process", u.where, u.metric)
			continue
		}
		for _, l := range u.labels {
			if slices.Contains(theirs, l) || labels[l] {
				continue
			}
			if there || !strings.Contains(string(read(t, file)), fmt.Sprintf("(%q,", l)) {
				t.Errorf("%s: %s has no label %s, it has %v", u.where, u.metric, l, slices.Sorted(maps.Keys(labels)))
			}
		}
	}
}

// besides writes the configuration of a gateway before the demo's service, of which
// an interceptor is a shadow, and returns its path.
func besides(t *testing.T, demo, nats string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.toml")
	text := fmt.Sprintf(`
[gateway]
listen = "127.0.0.1:0"
upstream = "unix://%[1]s/demo/service.sock"
unmatched = "allow"
[tenant]
metadata_key = "x-tenant"
[principal]
metadata_key = "x-user"
[nats]
url = %[2]q
[emitter]
name = "beside"
[ops]
listen = "127.0.0.1:0"
[[interceptors]]
name = "naming"
grpc_endpoint = "unix://%[1]s/demo/naming.sock"
binding_policy = "dynamic"
[[interceptors]]
name = "images"
grpc_endpoint = "unix://%[1]s/demo/images.sock"
binding_policy = "dynamic"
mode = "shadow"
`, demo, nats)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// call has one call governed and lets one pass.
func call(t *testing.T, address string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-tenant", "acme", "x-user", "alice")
	// What becomes of it is the chain's to say; it is counted either way.
	_, _ = sandboxv1.NewSandboxesClient(conn).CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "box"}})
	_, _ = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
}

// subscribe follows events until ctx ends.
func subscribe(ctx context.Context, api string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/v1/tail?follow=true", nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	<-ctx.Done()
}

// replay has the server replay its history through the plans that were in force.
func replay(ctx context.Context, api, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/v1/replays", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("replay: " + resp.Status)
	}
	return nil
}
