// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
)

const allow = "[gateway]\nunmatched=\"allow\"\n"

func TestDefaults(t *testing.T) {
	f, err := read(t, allow+"[[interceptors]]\nname=\"a\"\n", Local("a", declares(binds("one", phases(validate, post)))))
	if err != nil {
		t.Fatal(err)
	}
	want := &interceptor.Plan{
		Unmatched: "allow", Audit: "auto", AuditDeadline: 2 * time.Second, Answer: "release",
		Bindings: []interceptor.Binding{{
			Interceptor: "a", ID: "one", Phases: phases(validate, post), FailurePolicy: interceptor.FailClosed, PostCommitPolicy: interceptor.FailOpen,
			Timeout: 500 * time.Millisecond, MaxResponseBytes: 1 << 20, MaxPatches: 32,
		}},
	}
	f.Plan.Bindings[0].Impl = nil
	if d := cmp.Diff(want, f.Plan); d != "" {
		t.Error(d)
	}
}

func TestEverythingStated(t *testing.T) {
	f, err := read(t, `
[gateway]
listen = "127.0.0.1:7070"
upstream = "http://127.0.0.1:50051"
descriptors = "api.binpb"
unmatched = "deny"
[audit]
mode = "durable"
deadline = "250ms"
answer = "withhold"
[nats]
url = "left alone here"
[[interceptors]]
name = " a "
order = -5
failure_policy = "fail_open"
timeout = " 30s "
max_response_bytes = 16777216
max_patches = 1
settings = { limit = 3, deep = { list = [1.5, "x", true] } }
`, Local("a", declares(binds(" one ", phases(post, validate, post), " s/m "))))
	if err != nil {
		t.Fatal(err)
	}
	want := &interceptor.Plan{
		Unmatched: "deny", Audit: "durable", AuditDeadline: 250 * time.Millisecond, Answer: "withhold",
		Bindings: []interceptor.Binding{{
			Interceptor: "a", ID: "one", Order: -5, RPCs: []string{"s/m"}, Phases: phases(validate, post),
			FailurePolicy: interceptor.FailOpen, PostCommitPolicy: interceptor.FailOpen,
			Timeout: 30 * time.Second, MaxResponseBytes: 16 << 20, MaxPatches: 1,
			Settings: map[string]any{"limit": 3.0, "deep": map[string]any{"list": []any{1.5, "x", true}}},
		}},
	}
	f.Plan.Bindings[0].Impl = nil
	if d := cmp.Diff(want, f.Plan); d != "" {
		t.Error(d)
	}
	gateway := Gateway{Listen: "127.0.0.1:7070", Upstream: "http://127.0.0.1:50051", Descriptors: "api.binpb", Unmatched: "deny"}
	if d := cmp.Diff(gateway, f.Gateway); d != "" {
		t.Error(d)
	}
	if got := besides("/etc/docket/c.toml", "api.binpb"); got != filepath.FromSlash("/etc/docket/api.binpb") {
		t.Errorf("descriptors are looked for at %s", got)
	}
}

// What is misspelt or out of bounds is refused, where it stands.
func TestFileRefused(t *testing.T) {
	a := allow + "[[interceptors]]\nname=\"a\"\n"
	for _, c := range []struct{ name, text, err, hint string }{
		{"syntax", "[gateway\n", "c.toml:1: ", "TOML"},
		{"unmatched missing", "[gateway]\nlisten=\"x\"\n", "c.toml:1: unmatched is missing in [gateway]", `unmatched = "allow" or unmatched = "deny"`},
		{"gateway missing", "[audit]\nmode=\"auto\"\n", "c.toml: unmatched is missing", `unmatched = "allow"`},
		{"unmatched wrong", "[gateway]\nunmatched=\"alow\"\n", `c.toml:2: unmatched = "alow" is not one of allow, deny`, `did you mean "allow"?`},
		{"unmatched empty", "[gateway]\nunmatched=\"\"\n", `c.toml:2: unmatched = "" is not one of`, "use allow, deny"},
		{"top table", allow + "[interceptor]\n", `c.toml:3: unknown key "interceptor"`, `"interceptors"`},
		{"key", a + "tiemout=\"1s\"\n", `c.toml:5: unknown key "tiemout" in interceptors`, `did you mean "timeout"?`},
		{"binding key", a + "[[interceptors.bindings]]\nid=\"x\"\nphase=[]\n", `c.toml:7: unknown key "phase" in bindings`, `"phases"`},
		{"both formats", a + "[[openshell.gateway.interceptors]]\nname=\"b\"\n", "c.toml:3: [[interceptors]] beside [[openshell", "one of the two"},
		{"no name", allow + "[[interceptors]]\norder=1\n", "c.toml:3: an interceptor has no name", "name"},
		{"blank name", allow + "[[interceptors]]\nname=\" \"\n", "c.toml:4: an interceptor has no name", "name"},
		{"same name", a + "[[interceptors]]\nname=\"a \"\n", `c.toml:6: a second interceptor named "a"`, "c.toml:4"},
		{"no endpoint", allow + "[[interceptors]]\nname=\"b\"\n", `c.toml:4: interceptor "b" has no grpc_endpoint`, "chainfile.Local"},
		{"empty endpoint", a + "grpc_endpoint=\" \"\n", "c.toml:5: grpc_endpoint", "unix://"},
		{"scheme", a + "grpc_endpoint=\"ftp://x:1\"\n", "c.toml:5: grpc_endpoint \"ftp://x:1\" must use http://, https:// or unix://", "unix:///"},
		{"no scheme", a + "grpc_endpoint=\"x:1\"\n", "must use http://", "http://"},
		{"relative socket", a + "grpc_endpoint=\"unix://run/x.sock\"\n", "has no absolute path", "ABSOLUTE"},
		{"path", a + "grpc_endpoint=\"http://x:1/y\"\n", "is not a host and a port", "HOST:PORT"},
		{"credentials", a + "grpc_endpoint=\"http://u:secret@x:1\"\n", "has more than a place in it", "HOST:PORT"},
		{"authorities without TLS", a + "grpc_endpoint=\"http://x:1\"\ntls_ca_cert_path=\"ca.pem\"\n", "c.toml:6: tls_ca_cert_path beside", "https://"},
		{"timeout bare", a + "timeout=\"2\"\n", `c.toml:5: timeout = "2" is not a duration`, `"500ms"`},
		{"timeout fraction", a + "timeout=\"1.5s\"\n", "is not a duration", ""},
		{"timeout minutes", a + "timeout=\"1m\"\n", "is not a duration", ""},
		{"timeout empty", a + "timeout=\"\"\n", "is not a duration", ""},
		{"timeout negative", a + "timeout=\"-1s\"\n", "is not a duration", ""},
		{"timeout number", a + "timeout=2\n", "timeout must be a string, not the integer 2", ""},
		{"timeout zero", a + "timeout=\"0ms\"\n", "is not between 1ms and 30s", ""},
		{"timeout long", a + "timeout=\"31s\"\n", "is not between 1ms and 30s", ""},
		{"response zero", a + "max_response_bytes=0\n", "max_response_bytes = 0 is not between", ""},
		{"response huge", a + "max_response_bytes=16777217\n", "is not between 1 and 16777216", ""},
		{"patches", a + "max_patches=0\n", "max_patches = 0 is less than 1", "modify_operation"},
		{"binding policy", a + "binding_policy=\"exakt\"\n", `binding_policy = "exakt" is not one of dynamic, allowlist, exact`, `"exact"`},
		{"failure policy", a + "failure_policy=\"open\"\n", `failure_policy = "open" is not one of fail_closed, fail_open, ignore`, ""},
		{"settings", a + "settings={n=9007199254740993}\n", "c.toml:5: settings of interceptor \"a\": integer 9007199254740993 is beyond 2^53", ""},
		{"settings inf", a + "settings={n=[{m=inf}]}\n", "is not a number of JSON", ""},
		{"mode", allow + "[audit]\nmode=\"durabel\"\n", `c.toml:4: mode = "durabel" is not one of`, `"durable"`},
		{"answer", allow + "[audit]\nanswer=\"never\"\n", "answer = \"never\" is not one of release, withhold", ""},
		{"deadline", allow + "[audit]\ndeadline=\"2m\"\n", "deadline = \"2m\" is not a duration", ""},
		{"deadline long", allow + "[audit]\ndeadline=\"61s\"\n", "is not between 1ms and 1m0s", ""},
		{"two selectors", a + "[[interceptors.bindings]]\nrpc=\"s/m\"\nservice=\"s\"\n", "c.toml:6: rpc beside service or method", ""},
		{"half a selector", a + "[[interceptors.bindings]]\nservice=\"s\"\n", "c.toml:6: service without method", ""},
		{"other half", a + "[[interceptors.bindings]]\nmethod=\"s\"\n", "c.toml:6: method without service", ""},
		{"selector", a + "[[interceptors.bindings]]\nrpc=\"s.m\"\n", `c.toml:6: rpc "s.m" is not SERVICE/METHOD`, ""},
		{"selector slash", a + "[[interceptors.bindings]]\nrpc=\"/s/m\"\n", `is not SERVICE/METHOD`, ""},
		{"selector empty", a + "[[interceptors.bindings]]\nrpc=\"\"\n", `is not SERVICE/METHOD`, ""},
		{"no phases", a + "[[interceptors.bindings]]\nid=\"x\"\nphases=[]\n", "c.toml:7: phases is empty", "disabled = true"},
		{"phase", a + "[[interceptors.bindings]]\nid=\"x\"\nphases=[\"pre_request\"]\n", `c.toml:7: phases = "pre_request" is not one of modify_operation, validate, post_commit`, ""},
		{"phase twice", a + "[[interceptors.bindings]]\nid=\"x\"\nphases=[\"validate\",\"validate\"]\n", `phase "validate" is there twice`, ""},
		{"nothing named", a + "[[interceptors.bindings]]\nphases=[\"validate\"]\n", "c.toml:5: a bindings table names no binding", "id"},
		{"id twice", a + "[[interceptors.bindings]]\nid=\"x\"\n[[interceptors.bindings]]\nid=\"x\"\n", `c.toml:8: a second bindings table for binding "x"`, ""},
		{"selector twice", a + "[[interceptors.bindings]]\nrpc=\"s/m\"\n[[interceptors.bindings]]\nservice=\"s\"\nmethod=\"m\"\n", "a second bindings table for s/m", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(t, c.text, Local("a", declares(binds("one", phases(validate)))))
			refused(t, err, c.err, c.hint)
		})
	}
}

const openShell = `
[openshell]
version = 1
[openshell.gateway]
bind_address = "127.0.0.1:8443"
[openshell.drivers.docker]
image = "x"
[[openshell.supervisor.middleware]]
name = "m"
[[openshell.gateway.interceptors]]
name = "a"
grpc_endpoint = "http://127.0.0.1:18081"
audience = ""
allow_insecure_transport = true
`

// An OpenShell gateway's file loads as it is; it means "allow" for what no
// binding selects, and says so.
func TestOpenShell(t *testing.T) {
	one := Local("a", declares(binds("one", phases(validate), "s/m")))
	f, err := read(t, openShell, one)
	if err != nil {
		t.Fatal(err)
	}
	if f.Plan.Unmatched != interceptor.UnmatchedAllow || len(f.Plan.Bindings) != 1 || f.Explanation.Format != "openshell" {
		t.Errorf("plan %+v, format %s", f.Plan, f.Explanation.Format)
	}
	if len(f.Warnings) != 1 || f.Explanation.Unmatched.Origin != openShellRule {
		t.Errorf("not said that unmatched means allow: %q", f.Warnings)
	}

	f, err = read(t, "[gateway]\nunmatched=\"deny\"\nupstream=\"x:1\"\n"+openShell, one)
	if err != nil || f.Plan.Unmatched != interceptor.UnmatchedDeny || f.Gateway.Upstream != "x:1" || len(f.Warnings) != 0 {
		t.Errorf("beside our [gateway]: %v, %+v", err, f)
	}
	f, err = read(t, strings.Replace(openShell, "bind_address", "gateway_jwt = { ttl_secs = 60 }\nbind_address", 1), one)
	if err != nil || !strings.Contains(strings.Join(f.Warnings, "\n"), "says no gateway_id") || f.Tokens == nil || f.Tokens.TTL != time.Minute {
		t.Errorf("with a token: %v, %+v", err, f)
	}
	_, err = read(t, openShell+"settings={}\n", one)
	refused(t, err, `unknown key "settings"`, "OpenShell")
	_, err = read(t, openShell+"timout=\"1s\"\n", one)
	refused(t, err, `c.toml:15: unknown key "timout"`, `"timeout"`)

	f, err = read(t, "[openshell]\nversion=1\n")
	if err != nil || len(f.Plan.Bindings) != 0 {
		t.Errorf("without interceptors: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(allow + "[[interceptors]]\nname=\"a\"\ngrpc_endpoint=\"unix:///x\"\n[[interceptors.bindings]]\nid=\"x\"\nphases=[\"validate\"]\n")
	f.Add(openShell + "binding_policy=\"exact\"\nbindings=[{rpc=\"s/m\",phases=[\"post_commit\"],failure_policy=\"ignore\"}]\n")
	f.Add("[audit]\ndeadline=\"1s\"\n[gateway]\nunmatched=\"deny\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, services, err := parse("f", []byte(text))
		if err != nil {
			var hinted interface{ Hint() string }
			if !errors.As(err, &hinted) {
				t.Errorf("%v gives no hint", err)
			}
			return
		}
		for _, s := range services {
			if s.name == "" || s.timeout < minTimeout || s.timeout > maxTimeout || s.maxPatches < 1 {
				t.Errorf("accepted %+v", s)
			}
			// Whatever the file says, resolving it against a manifest ends.
			_, _, _ = s.resolve(declares(binds("one", phases(validate, post), "s/m")).manifest)
		}
	})
}
