// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
)

// lookUntil looks at p's interceptors until the only one is in the state: a
// connection takes its time to break and to be made again.
func lookUntil(t *testing.T, p *Path, withToken bool, state string) Health {
	t.Helper()
	var h Health
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.look(t.Context(), withToken)
		if h = p.Health()[0]; h.State == state {
			return h
		}
	}
	t.Fatalf("never %s: %+v", state, h)
	return h
}

// An interceptor that is away is seen at once. Its gateway is unready only if
// operations are denied for want of it, and only after a grace; it is ready as
// soon as the interceptor is back.
func TestHealth(t *testing.T) {
	for policy, denies := range map[string]bool{"fail_closed": true, "fail_open": false} {
		t.Run(policy, func(t *testing.T) {
			socket, stop := served(t, judge{[]string{"b"}})
			j := &journal{}
			p, _, _ := open(t, j, strings.Replace(chain(socket), "fail_closed", policy, 1))
			now := time.Unix(1_800_000_000, 0)
			p.now = func() time.Time { return now }
			if h := p.Health(); len(h) != 1 || h[0] != (Health{Interceptor: "p", State: Serving, Denies: denies, Token: true}) {
				t.Errorf("at the start: %+v", h)
			}
			stop()
			h := lookUntil(t, p, false, Unreachable)
			if h.Denies != denies || !h.Since.Equal(now) || !strings.Contains(h.Detail, socket) {
				t.Errorf("away: %+v", h)
			}
			if err := p.Ready(); err != nil {
				t.Errorf("unready at once: %v", err)
			}
			now = now.Add(grace)
			p.look(t.Context(), false)
			err := p.Ready()
			if (err != nil) != denies {
				t.Errorf("after the grace: %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), "interceptor p is not reachable") || strings.Contains(err.Error(), socket)) {
				t.Errorf("the reason is %v", err)
			}
			serveAt(t, socket, judge{[]string{"b"}})
			lookUntil(t, p, false, Serving)
			if err := p.Ready(); err != nil {
				t.Errorf("back: %v", err)
			}
			if said := j.log.String(); strings.Count(said, "an interceptor does not serve") != 1 || strings.Count(said, "an interceptor serves again") != 1 {
				t.Errorf("the log says %s", said)
			}
		})
	}
}

// An interceptor that does not know the gateway any more is one that refuses,
// until it is seen to accept a token again: to be asked without one says nothing.
func TestHealthOfTokens(t *testing.T) {
	stranger, err := remote.NewSigner(remote.SignerConfig{GatewayID: "g", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	knowing := func(keys []byte) remote.Option {
		return remote.Verify(remote.VerifyConfig{Issuer: "openshell-gateway:g", Audience: "urn:openshell:extension:interceptor:p", Keys: keys})
	}
	socket, stop := served(t, judge{[]string{"b"}})
	p, _, _ := open(t, &journal{}, chain(socket))
	_, keys := p.Tokens()
	stop()
	stop = serveAt(t, socket, judge{[]string{"b"}}, knowing(stranger.JWKS()))
	lookUntil(t, p, true, Refuses)
	p.look(t.Context(), false)
	if h := p.Health()[0]; h.State != Refuses {
		t.Errorf("asked without a token: %+v", h)
	}
	stop()
	serveAt(t, socket, judge{[]string{"b"}}, knowing(keys))
	lookUntil(t, p, true, Serving)
}

// Which interceptors deny for want of an answer: by enforced bindings alone, in
// the phases before the handler.
func TestDenying(t *testing.T) {
	plan := &interceptor.Plan{Bindings: []interceptor.Binding{
		{Interceptor: "closed", Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailClosed},
		{Interceptor: "open", Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen},
		{Interceptor: "modifies", Phases: []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate}, FailurePolicy: interceptor.FailOpen, ModifyPolicy: interceptor.FailClosed},
		{Interceptor: "validates", Phases: []interceptor.Phase{interceptor.ModifyOperation}, FailurePolicy: interceptor.FailClosed, ModifyPolicy: interceptor.FailOpen},
		{Interceptor: "shadow", Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailClosed, Shadow: true},
		{Interceptor: "observer", Phases: []interceptor.Phase{interceptor.PostCommit}, FailurePolicy: interceptor.FailClosed, PostCommitPolicy: interceptor.FailOpen},
	}}
	got := denying(plan)
	if len(got) != 2 || !got["closed"] || !got["modifies"] {
		t.Errorf("denying are %v", got)
	}
}

// Keys are made on the first start, for their owner alone; what others need to
// check by is for them to read.
func TestKeyFiles(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	_, dir, _ := open(t, &journal{}, chain(socket)+"[[redact]]\nname = \"r\"\nregex = \"x+\"\ndo = \"hmac\"\n")
	for name, mode := range map[string]fs.FileMode{"tokens.key": 0o600, "redact.key": 0o600, "tokens.jwks.json": 0o644} {
		info, err := os.Stat(dir.Join("keys", name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), mode)
		}
	}
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	b, err := os.ReadFile(dir.Join("keys", "tokens.jwks.json"))
	if err == nil {
		err = json.Unmarshal(b, &set)
	}
	if err != nil || len(set.Keys) != 1 || set.Keys[0]["d"] != "" || set.Keys[0]["x"] == "" {
		t.Errorf("the key set is %s: %v", b, err)
	}
	if info, err := os.Stat(filepath.Dir(dir.Join("keys", "tokens.key"))); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("keys/ is %v, %v", info.Mode(), err)
	}
}

// What is looked at ends with the path.
func TestServeEnds(t *testing.T) {
	socket, _ := served(t, judge{[]string{"b"}})
	j := &journal{}
	p, _, _ := open(t, j, chain(socket))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx) }()
	for j.last() == "" { // the plan is stated
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
