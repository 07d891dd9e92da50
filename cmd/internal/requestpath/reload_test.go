// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
)

// A chain that is reloaded is in force, kept and stated, and what changed is told.
func TestReload(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b", "c"}})
	text := chain(socket)
	j := &journal{}
	p, dir, write := open(t, j, text)
	if issuer, keys := p.Tokens(); issuer != "openshell-gateway:g" || !strings.Contains(string(keys), "Ed25519") {
		t.Errorf("issuer %s, key set %s", issuer, keys)
	}
	first := p.Plan().Digest()
	same, err := p.Reload(t.Context())
	if err != nil || same.Plan() || p.Plan().Digest() != first || j.last() != "" {
		t.Errorf("reloaded as it was: %v, %v, %s", err, same, j.last())
	}

	write(strings.Replace(text, "allow", "deny", 1) + "timeout = \"2s\"\n[[interceptors.bindings]]\nid = \"c\"\ndisabled = true\n")
	change, err := p.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := p.Plan().Digest()
	if second == first || !strings.Contains(j.last(), second) {
		t.Errorf("plan %s after %s; stated %s", second, first, j.last())
	}
	want := &Change{
		Before: first, After: second, Added: []string{}, Removed: []string{"p/c"},
		Changed:  []ChangedBindings{{Binding: "p/b", Keys: []string{"timeout_ns"}}},
		Settings: []string{"unmatched"}, Restart: []string{}, Warnings: []string{},
	}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(dir.Join("plans", strings.TrimPrefix(second, "sha256:")+".json")); err != nil {
		t.Error(err)
	}
	write(text)
	back, err := p.Reload(t.Context())
	if err != nil || p.Plan().Digest() != first || !slices.Equal(back.Added, []string{"p/c"}) {
		t.Errorf("there and back: %v, %+v", err, back)
	}
}

const rejection = "a plan was rejected; the one in force stays"

// What is refused leaves the plan in force, and an event with the reason.
func TestReloadRefused(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	text := chain(socket)
	j := &journal{}
	p, _, write := open(t, j, text)
	first := p.Plan()
	for name, tc := range map[string]struct{ text, want string }{
		"syntax":             {"[gateway", "docket.toml:1"},
		"unknown key":        {text + "timeuot = \"1s\"\n", `did you mean \"timeout\"`},
		"another's table":    {text + "[nats]\nreplicas = \"three\"\n", "replicas"},
		"nobody there":       {strings.Replace(text, socket, socket+".gone", 1), "does not answer"},
		"unmatched override": {text + "[[interceptors.bindings]]\nid = \"nobody's\"\ndisabled = true\n", "nobody's"},
		"what is left out": {
			text + "[capture]\nmode = \"full\"\nmax = 9\n[[redact]]\nname = \"r\"\nregex = \"x+\"\ndo = \"mask\"\n",
			"left out of the record (capture.max, redact), which takes effect at a start",
		},
		"plan": {strings.Replace(text, "fail_closed", "fail_maybe", 1), "fail_maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			write(tc.text)
			change, err := p.Reload(t.Context())
			if err == nil {
				t.Fatalf("was taken: %+v", change)
			}
			if p.Plan() != first {
				t.Errorf("plan %s is in force", p.Plan().Digest())
			}
			var hinted interface{ Hint() string }
			told := err.Error()
			if errors.As(err, &hinted) {
				told += " " + hinted.Hint()
			}
			if !strings.Contains(strings.ReplaceAll(told, `"`, `\"`), tc.want) {
				t.Errorf("the error is %s; want %s in it", told, tc.want)
			}
			if e := j.last(); !strings.Contains(e, rejection) || !strings.Contains(e, first.Digest()) || !strings.Contains(e, `"error":"reload chain: `) {
				t.Errorf("recorded %s", e)
			}
		})
	}
}

// What is not reloaded is named, each time, key by key.
func TestReloadNamesWhatItLeaves(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	text := chain(socket)
	j := &journal{}
	p, _, write := open(t, j, text)
	changed := strings.Replace(text, `gateway_id = "g"`, `gateway_id = "h"`, 1)
	changed = strings.Replace(changed, `upstream = "http://127.0.0.1:1"`, "upstream = \"http://127.0.0.1:2\"\nmax_request_bytes = 7\nattributes = [\"x-a\"]", 1)
	changed += "[audit]\nmode = \"durable\"\nmethods = { \"a.b.C/D\" = \"best_effort\" }\n[tenant]\nfixed = \"acme\"\n[principal]\nmetadata_key = \"x-user\"\n[nats]\nurl = \"nats://127.0.0.1:1\"\n" +
		"[capture]\nmode = \"digest\"\n"
	want := []string{
		"gateway.attributes", "gateway.max_request_bytes", "gateway.upstream", "nats.url", "principal.metadata_key",
		"tenant.fixed", "tokens",
	}
	for range 2 {
		write(changed)
		change, err := p.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, change.Restart); diff != "" {
			t.Error(diff)
		}
	}
	if said := j.log.String(); strings.Count(said, "after a restart only") != 2 || !strings.Contains(said, "tenant.fixed") {
		t.Errorf("the log says %s", said)
	}
	if got := p.Plan(); got.Audit != interceptor.AuditDurable || got.Bindings[0].Capture != interceptor.CaptureDigest {
		t.Errorf("the plan has audit %s, capture %s", got.Audit, got.Bindings[0].Capture)
	}
	write(text)
	change, err := p.Reload(t.Context())
	if err != nil || len(change.Restart) > 0 {
		t.Errorf("as at the start: %v, %v", change, err)
	}
}

// The last word of the record about which plan is in force is true, also when
// the statement that a new one is could not be made, or could and then the new
// one was not taken.
func TestReloadedRecordIsTrue(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	text := chain(socket)
	j := &journal{}
	p, _, write := open(t, j, text)
	first := p.Plan().Digest()
	write(strings.Replace(text, "allow", "deny", 1))
	wantRestated := func(n int) {
		t.Helper()
		j.mu.Lock()
		defer j.mu.Unlock()
		if len(j.events) != n {
			t.Fatalf("%d events, want %d: %s", len(j.events), n, j.events)
		}
		rejected, stated := j.events[n-2], j.events[n-1]
		if !strings.Contains(rejected, rejection) || !strings.Contains(stated, "plan "+first+" is in force") {
			t.Errorf("recorded %s and %s", rejected, stated)
		}
	}

	// Nobody knows whether a statement that was not acknowledged is recorded.
	j.refuse = 1
	if _, err := p.Reload(t.Context()); err == nil || p.Plan().Digest() != first {
		t.Errorf("an unrecorded plan is in force: %v", err)
	}
	wantRestated(2)

	// The statement was made, and then the chain did not take the plan.
	if err := p.chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed chain took a plan: %v", err)
	}
	wantRestated(5) // the new plan's statement, and the two
}

// A reload that waits for an interceptor does not keep a path from closing, and
// none begins after it.
func TestReloadWhileStopping(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	text := chain(socket)
	j := &journal{}
	p, _, write := open(t, j, text)
	mute, err := net.Listen("unix", filepath.Join(t.TempDir(), "mute.sock")) // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	write(strings.Replace(text, socket, mute.Addr().String(), 1) + "timeout = \"30s\"\n")
	refused := make(chan error, 1)
	go func() {
		_, err := p.Reload(context.Background())
		refused <- err
	}()
	conn, err := mute.Accept() // the reload is under way
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; err == nil {
		t.Error("was taken")
	}
	if _, err := p.Reload(t.Context()); !errors.Is(err, errClosing) {
		t.Errorf("after the end: %v", err)
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

// A file that is refused leaves nothing of itself in what the tokens of the gateway
// say; the first one in force with tokens does.
func TestRefusedTokens(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	text := chain(socket)
	j := &journal{}
	without := strings.Replace(strings.Replace(text, "[tokens]\n", "", 1), "gateway_id = \"g\"\n", "", 1)
	without = strings.Replace(without, "audience = \"a\"\n", "", 1)
	p, _, write := open(t, j, without)
	if issuer, _ := p.Tokens(); issuer != "" {
		t.Fatalf("tokens of %s at the start, by\n%s", issuer, without)
	}
	typo := strings.Replace(text, `gateway_id = "g"`, `gateway_id = "typo"`, 1)
	write(strings.Replace(typo, socket, socket+".gone", 1))
	if _, err := p.Reload(t.Context()); err == nil {
		t.Fatal("was taken")
	}
	if issuer, _ := p.Tokens(); issuer != "" {
		t.Errorf("after a refused file the tokens are those of %s", issuer)
	}
	write(text)
	change, err := p.Reload(t.Context())
	if err != nil || len(change.Restart) > 0 {
		t.Fatalf("%+v, %v", change, err)
	}
	if issuer, _ := p.Tokens(); !strings.HasSuffix(issuer, ":g") {
		t.Errorf("the tokens are those of %q", issuer)
	}
}
