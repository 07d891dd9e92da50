// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// judged is the table of one interceptor, with more keys in text.
func judged(name, socket, text string) string {
	return fmt.Sprintf("[[interceptors]]\nname = %q\nbinding_policy = \"dynamic\"\ngrpc_endpoint = \"unix://%s\"\ntimeout = \"20s\"\n%s\n", name, socket, text)
}

// What the file says to withhold is in no event; the service gets all of it,
// and so does the interceptor.
func TestRedactionFromAFile(t *testing.T) {
	w := newWorld(t)
	shown := make(chan string, 8)
	look := func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		payload, err := e.Payload.JSON()
		shown <- string(payload)
		return &interceptor.Result{Decision: interceptor.Allow}, err
	}
	key := filepath.Join(filepath.Dir(w.file), "hmac.key")
	w.write("attributes = [\"x-team\", \"x-order\"]", `
[capture]
hmac_key = "hmac.key"
[[redact]]
name = "environment"
pointers = ["/sandbox/spec/environment/*"]
do = "drop"
[[redact]]
name = "tickets"
regex = "TICKET-[0-9]+"
do = "mask"
[[redact]]
name = "owners"
pointers = ["/sandbox/labels/owner"]
headers = ["x-order"]
do = "hmac"
`+judged("j", serve(t, "unix", judge{"b", look}), ""))
	w.start()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-order", "CANARY-order", "x-team", "blue", "authorization", "Bearer CANARY-token")
	for range 2 {
		if err := w.create(ctx, &sandboxv1.Sandbox{
			Name: "box", Labels: map[string]string{"owner": "CANARY-owner", "team": "blue"}, Annotations: map[string]string{"why": "see TICKET-4711 please"},
			Spec: &sandboxv1.SandboxSpec{Environment: map[string]string{"PASSWORD": "CANARY-password"}, Credentials: &sandboxv1.Credentials{Token: "CANARY-secret", TokenHint: "hint"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if given := w.upstream.calls(); len(given) != 2 || given[0].GetSandbox().GetSpec().GetEnvironment()["PASSWORD"] != "CANARY-password" || given[0].GetSandbox().GetSpec().GetCredentials().GetToken() != "CANARY-secret" {
		t.Errorf("the service was given %v", given)
	}
	for range 2 {
		if payload := <-shown; !strings.Contains(payload, "CANARY-password") || !strings.Contains(payload, "TICKET-4711") || strings.Contains(payload, "CANARY-secret") {
			t.Errorf("the interceptor was shown %s", payload)
		}
	}
	events := w.recorded()
	if len(ofKind(events, "outcome")) != 2 {
		t.Fatalf("%d events", len(events))
	}
	owners := regexp.MustCompile(`"owner":"(hmac-sha256:[0-9a-f]{8}:[0-9a-f]{64})"`)
	digests := map[string]bool{}
	for _, e := range events {
		for _, canary := range []string{"CANARY", "TICKET-4711"} {
			if strings.Contains(e, canary) {
				t.Errorf("%s is in %s", canary, e)
			}
		}
	}
	for _, e := range ofKind(events, "evaluation") {
		for _, want := range []string{
			`"see *** please"`, `"team":"blue"`, `"tokenHint":"hint"`,
			`"do":"drop","n":1,"pointer":"/sandbox/spec/environment/*","rule":"environment"`, `"rule":"tickets"`, `"rule":"owners"`, `"rule":"descriptor"`,
		} {
			if !strings.Contains(e, want) {
				t.Errorf("no %s in %s", want, e)
			}
		}
		if m := owners.FindStringSubmatch(e); m != nil {
			digests[m[1]] = true
		}
	}
	if len(digests) != 1 {
		t.Errorf("one owner has the digests %v", digests)
	}
	// The key was made, for its owner alone, where the file says.
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", key, info, err)
	}
	for _, name := range []string{"redact.key", "tokens.key"} {
		if _, err := os.Stat(filepath.Join(w.dir, "keys", name)); !os.IsNotExist(err) {
			t.Errorf("keys/%s, which nobody needs: %v", name, err)
		}
	}
}

// How much of payloads is kept: as the binding says, else the capture table.
func TestCaptureFromAFile(t *testing.T) {
	w := newWorld(t)
	w.write("", `
[capture]
mode = "digest"
`+judged("a", serve(t, "unix", judge{"by-table", allow}), "")+
		judged("b", serve(t, "unix", judge{"full", allow}), `capture = "full"`)+
		judged("c", serve(t, "unix", judge{"none", allow}), `capture = "none"`)+
		judged("d", serve(t, "unix", judge{"bounded", allow}), "capture = \"full\"\ncapture_max = 16"))
	w.start()
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: "a-name-that-is-long"}); err != nil {
		t.Fatal(err)
	}
	const digest, payload = `"proposed_operation_digest":`, `"a-name-that-is-long"`
	seen := 0
	for _, e := range ofKind(w.recorded(), "evaluation") {
		for binding, want := range map[string][2]bool{"by-table": {true, false}, "full": {false, true}, "none": {false, false}, "bounded": {true, false}} {
			if !strings.Contains(e, `"uid":"`+binding+`"`) {
				continue
			}
			seen++
			if got := [2]bool{strings.Contains(e, digest), strings.Contains(e, payload)}; got != want {
				t.Errorf("%s: digest, payload are %v, want %v, in %s", binding, got, want, e)
			}
			if grade := strings.Contains(e, `"value":"full"`); grade != (binding == "full") {
				t.Errorf("%s: replayable in full is %t: %s", binding, grade, e)
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d of 4 bindings were asked", seen)
	}
}

// A governed request that is too long is refused and recorded, and reaches nobody.
func TestMaxRequestBytesFromAFile(t *testing.T) {
	w := newWorld(t)
	asked := make(chan struct{}, 8)
	look := func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		asked <- struct{}{}
		return allow(ctx, e)
	}
	w.write("max_request_bytes = 1000", judged("j", serve(t, "unix", judge{"b", look}), ""))
	w.start()
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: strings.Repeat("x", 900)}); err != nil {
		t.Error(err)
	}
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: strings.Repeat("y", 1001)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("answered %v", err)
	}
	if len(asked) != 1 || len(w.upstream.calls()) != 1 {
		t.Errorf("the interceptor was asked %d times, the service called %d times", len(asked), len(w.upstream.calls()))
	}
	outcomes := ofKind(w.recorded(), "outcome")
	if len(outcomes) != 2 || !strings.Contains(outcomes[1], "RESOURCE_EXHAUSTED") || strings.Contains(outcomes[1], "yyyy") {
		t.Errorf("recorded %s", outcomes)
	}
}

// A shadow is asked, and what it says is recorded, and changes nothing.
func TestShadowFromAFile(t *testing.T) {
	w := newWorld(t)
	w.write("", judged("j", serve(t, "unix", judge{"b", deny}), `mode = "shadow"`)+judged("k", serve(t, "unix", judge{"c", allow}), ""))
	w.start()
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: "box"}); err != nil {
		t.Error(err)
	}
	events := w.recorded()
	results, outcomes := ofKind(events, "result"), ofKind(events, "outcome")
	if len(results) != 2 || !strings.Contains(results[0], `"would":"deny"`) || len(outcomes) != 1 || !strings.Contains(outcomes[0], `"decision":"shadow:deny"`) {
		t.Errorf("recorded %s and %s", results, outcomes)
	}
}

// Keys of tokens are made for their owner alone, what is public beside them, and
// ops says where.
func TestTokenKeysFromAFile(t *testing.T) {
	w := newWorld(t)
	socket := serve(t, "unix", judge{"b", allow})
	w.write("", "[tokens]\ngateway_id = \"edge\"\nkey = \"made/tokens.key\"\n"+judged("j", socket, ""))
	w.start()
	for name, mode := range map[string]fs.FileMode{
		filepath.Join(filepath.Dir(w.file), "made", "tokens.key"): 0o600, filepath.Join(w.dir, "keys", "tokens.jwks.json"): 0o644,
		filepath.Join(w.dir, "keys", "emitter.key"): 0o600,
	} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", name, info, err, mode)
		}
	}
	file, err := os.ReadFile(filepath.Join(w.dir, "keys", "tokens.jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	if code, keys := w.get("/.well-known/jwks.json", ""); code != 200 || keys != string(file) {
		t.Errorf("the key set is %d %s", code, keys)
	}
	want := `{"id_token_signing_alg_values_supported":["EdDSA"],"issuer":"openshell-gateway:edge","jwks_uri":"` + w.addresses["ops"] + `/.well-known/jwks.json"}` + "\n"
	if code, discovery := w.get("/.well-known/openid-configuration", ""); code != 200 || discovery != want {
		t.Errorf("%d %s, want %s", code, discovery, want)
	}
}

// Who makes no tokens publishes no keys.
func TestNoTokens(t *testing.T) {
	w := newWorld(t)
	w.write("", judged("j", serve(t, "unix", judge{"b", allow}), ""))
	w.start()
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/openid-configuration", "/", "/v1/chain/reload"} {
		if code, body := w.get(path, ""); code != 404 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}
