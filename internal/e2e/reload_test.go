// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

const create = "demo.sandbox.v1.Sandboxes/CreateSandbox"

// A judge declares one binding of CreateSandbox and answers by a function.
type judge struct {
	id string
	interceptor.Func
}

func (j judge) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: j.id, Bindings: []interceptor.Binding{{
		ID: j.id, RPCs: []string{create}, Phases: []interceptor.Phase{interceptor.Validate},
	}}}, nil
}

func answering(d interceptor.Decision) interceptor.Func {
	return func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: d, Reason: "as the test says"}, nil
	}
}

func table(name, endpoint, text string) string {
	return fmt.Sprintf("[[interceptors]]\nname = %q\ngrpc_endpoint = %q\nbinding_policy = \"dynamic\"\ntimeout = \"20s\"\n%s\n", name, endpoint, text)
}

// upConfig is the file of a docket up with everything in it, on free ports.
func upConfig(upstream, text string) string {
	return fmt.Sprintf(`
[gateway]
listen = "127.0.0.1:0"
upstream = "http://%s"
unmatched = "deny"
[nats]
listen = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
[flight]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[collector]
flush = "100ms"
[capture]
hmac_key = "redact.key"
[[redact]]
name = "environment"
pointers = ["/sandbox/spec/environment/*"]
do = "drop"
[[redact]]
name = "tickets"
regex = "TICKET-[0-9]+"
do = "mask"
[[redact]]
name = "owner"
pointers = ["/sandbox/labels/owner"]
do = "hmac"
[tokens]
gateway_id = "edge"
%s`, upstream, text)
}

// What a file says about the record holds from the wire to the disk; a chain is
// reloaded under a running docket, by verb and by signal, well and badly, and all
// of it can be shown afterwards.
func TestReload(t *testing.T) {
	upstream := serveSandboxes(t)
	dir := t.TempDir()
	conf, data := filepath.Join(dir, "docket.toml"), filepath.Join(dir, "data")
	entered, leave := make(chan struct{}), make(chan struct{})
	held := func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if name, _ := e.Payload.Lookup("/sandbox/name"); name == "held" {
			close(entered)
			<-leave
		}
		return answering(interceptor.Allow)(ctx, e)
	}
	gate := table("gate", serve(t, judge{"gate", held}), "")
	shadow := table("shadow", serve(t, judge{"strict", answering(interceptor.Deny)}), `mode = "shadow"`)
	write(t, conf, upConfig(upstream.addr, gate+shadow))
	up := start(t, docketBin, "up", "--config", conf, "--data", data)
	caller := newCaller(t, up.addresses(data)["proxy"])
	caller.create(t, &sandboxv1.Sandbox{
		Name: "box", Labels: map[string]string{"owner": "SECRETCANARY-owner"}, Annotations: map[string]string{"why": "TICKET-4711", "hint": "PUBLICCANARY-box"},
		Spec: &sandboxv1.SandboxSpec{Environment: map[string]string{"K": "SECRETCANARY-environment"}, Credentials: &sandboxv1.Credentials{Token: "SECRETCANARY-token"}},
	}, "OK")

	// One call is under way while the chain becomes another.
	old := make(chan string, 1)
	go func() { old <- caller.status(&sandboxv1.Sandbox{Name: "held"}) }()
	<-entered
	strict := table("strict", serve(t, judge{"strict", answering(interceptor.Deny)}), "")
	write(t, conf, upConfig(upstream.addr, strict))
	var change struct {
		Before, After  string
		Added, Removed []string
	}
	if err := json.Unmarshal([]byte(mustDocket(t, "chain", "reload", "--data", data, "-o", "json")), &change); err != nil {
		t.Fatal(err)
	}
	if change.Before == change.After || strings.Join(change.Added, " ") != "strict/strict" || strings.Join(change.Removed, " ") != "gate/gate shadow/strict" {
		t.Errorf("changed: %+v", change)
	}
	caller.create(t, &sandboxv1.Sandbox{Name: "new"}, "PERMISSION_DENIED")
	close(leave)
	if got := <-old; got != "OK" {
		t.Errorf("the call under way ended with %s", got)
	}

	// Bad ones, by verb and by signal.
	write(t, conf, upConfig(upstream.addr, strict+"[[interceptors.bindings]]\nid = \"nobody's\"\ndisabled = true\n"))
	if stdout, stderr, code := docket(t, "chain", "reload", "--data", data); code != 1 || stdout != "" || !strings.Contains(stderr, "nobody's") {
		t.Errorf("an override of nothing: exit %d, %s%s", code, stdout, stderr)
	}
	write(t, conf, upConfig(upstream.addr, table("gone", "unix://"+filepath.Join(dir, "gone.sock"), "")))
	up.hup(t, "the chain is as it was")
	write(t, conf, "[")
	up.hup(t, "the chain is as it was")
	caller.create(t, &sandboxv1.Sandbox{Name: "still"}, "PERMISSION_DENIED")
	// And back, by signal.
	write(t, conf, upConfig(upstream.addr, gate+shadow))
	up.hup(t, "the chain is reloaded")
	caller.create(t, &sandboxv1.Sandbox{Name: "again"}, "OK")
	if code := up.stop(); code != 0 {
		t.Errorf("docket up: exit %d", code)
	}

	checkReloaded(t, data, change.Before, change.After)
	if len(scanFiles(t, data)) == 0 {
		t.Error("the scan for secrets did not even see what is none")
	}
	checkEvents(t, data)
	checkVerify(t, data)
	for name, file := range map[string]string{"tokens.key": filepath.Join(data, "keys", "tokens.key"), "redact.key": filepath.Join(dir, "redact.key")} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// checkReloaded checks the record of it, as the verbs tell it.
func checkReloaded(t *testing.T, data, before, after string) {
	t.Helper()
	type stated struct {
		Class int    `json:"class_uid"`
		Plan  string `json:"plan"`
	}
	var told []string
	for _, s := range query[stated](t, data, `SELECT class_uid, json_extract_string(_raw, '$.unmapped.docket.plan') AS plan FROM events WHERE class_uid IN (3004, 6008) ORDER BY sequence`) {
		told = append(told, fmt.Sprintf("%d %s", s.Class, s.Plan))
	}
	want := []string{"3004 " + before, "3004 " + after, "6008 " + after, "6008 " + after, "6008 " + after, "3004 " + before}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("stated:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	type row struct {
		OperationUID string `json:"operation_uid"`
		Plan         string `json:"plan_digest"`
		Decision     string `json:"decision"`
	}
	plans := map[string]int{}
	for _, o := range query[row](t, data, `SELECT operation_uid, plan_digest, decision FROM events WHERE kind = 'outcome'`) {
		plans[o.Plan+" "+o.Decision]++
	}
	if plans[before+" allow"] != 3 || plans[after+" deny"] != 2 || len(plans) != 2 {
		t.Errorf("outcomes by plan: %v", plans)
	}
	for _, digest := range []string{before, after} {
		if _, err := os.Stat(filepath.Join(data, "plans", strings.TrimPrefix(digest, "sha256:")+".json")); err != nil {
			t.Error(err)
		}
	}
	first := query[row](t, data, `SELECT operation_uid FROM events WHERE kind = 'evaluation' AND _raw LIKE '%PUBLICCANARY-box%' LIMIT 1`)
	if len(first) != 1 {
		t.Fatal("the first operation is not in the record")
	}
	shown := mustDocket(t, "show", "--data", data, first[0].OperationUID, "-o", "table")
	for _, text := range []string{
		"would be: deny", "by rule environment (drop)", "by rule tickets (mask)", "by rule owner (hmac)", "by rule descriptor (drop)", "hmac-sha256:", "***",
	} {
		if !strings.Contains(shown, text) {
			t.Errorf("docket show has no %q:\n%s", text, shown)
		}
	}
	if denied := mustDocket(t, "show", "--data", data, "--decision", "deny", "-o", "table"); !strings.Contains(denied, "as the test says") {
		t.Errorf("docket show:\n%s", denied)
	}
}

// hup sends SIGHUP and waits until the log says so once more.
func (p *process) hup(t *testing.T, said string) {
	t.Helper()
	before := strings.Count(p.out.String(), said)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.eventually(said, time.Minute, func() bool { return strings.Count(p.out.String(), said) > before })
}

// status calls and returns the name of the answer's code.
func (c *caller) status(s *sandboxv1.Sandbox) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := c.client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: s})
	return codeName(status.Code(err))
}

func (c *caller) create(t *testing.T, s *sandboxv1.Sandbox, want string) {
	t.Helper()
	if got := c.status(s); got != want {
		t.Errorf("%s was answered %s, want %s", s.GetName(), got, want)
	}
}
