// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
)

// asking declares one binding that asks for attributes and namespaces.
func asking() described {
	b := binds("one", phases(modify, validate, post), "s/m")
	b.Attributes, b.Reads, b.Writes = []string{"source.address", "request.headers.*"}, []string{"team"}, []string{"cost", "team"}
	b.Principals, b.Labels = []string{"user/*", "sandbox"}, map[string]string{"env": "*", "tier": "1"}
	return declares(b)
}

// What a table says about a binding is in the plan, the nearer word first, and
// only as much as the manifest declares.
func TestKeysOfBindings(t *testing.T) {
	text := service1(`max_concurrent=8`, `max_queue=4`, `mode="shadow"`, `audit="durable"`, `capture="digest"`, `capture_max=10`,
		`attributes=["request.*","source.address"]`, `accessible_namespaces=["team"]`,
		`phase_policies={modify_operation="fail_open",post_commit="ignore"}`,
		binding1(`id="one"`, `mode="enforce"`, `capture="none"`, `writable_namespaces=["cost"]`, `principals=["user/a*","sandbox/x"]`, `labels={env="prod",team="red"}`))
	f, err := read(t, text, Local("a", asking()))
	if err != nil {
		t.Fatal(err)
	}
	want := interceptor.Binding{
		Interceptor: "a", ID: "one", RPCs: []string{"s/m"}, Phases: phases(modify, validate, post),
		Principals: []string{"user/a*", "sandbox/x"}, Labels: map[string]string{"env": "prod", "tier": "1", "team": "red"},
		FailurePolicy: interceptor.FailClosed, ModifyPolicy: interceptor.FailOpen, PostCommitPolicy: interceptor.Ignore,
		Timeout: 500 * time.Millisecond, MaxResponseBytes: 1 << 20, MaxPatches: 32, MaxConcurrent: 8, MaxQueue: 4,
		Attributes: []string{"request.headers.*", "source.address"}, Reads: []string{"team"}, Writes: []string{"cost"},
		Audit: "durable", Capture: "none", CaptureMax: 10,
	}
	f.Plan.Bindings[0].Impl = nil
	if d := cmp.Diff(want, f.Plan.Bindings[0]); d != "" {
		t.Error(d)
	}
	var out bytes.Buffer
	if _, err := f.Explanation.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"mode enforce (binding, line 16)", "audit durable (service, line 8)", "capture none (binding, line 17)", "capture_max 10 (service, line 10)", "fail_open (service, line 13)", "ignore (service, line 13)", "fail_closed (default)", "8 (service, line 5)"} {
		if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, line) {
			t.Errorf("not explained: %s\n%s", line, out.String())
		}
	}
	// Nothing is granted that the file does not grant.
	if f, err = read(t, service1(), Local("a", asking())); err != nil {
		t.Fatal(err)
	}
	if b := f.Plan.Bindings[0]; b.Attributes != nil || b.Reads != nil || b.Writes != nil || b.Shadow {
		t.Errorf("granted unasked: %+v", b)
	}
}

// What the keys of a binding refuse.
func TestKeysRefused(t *testing.T) {
	a := allow + "[[interceptors]]\nname=\"a\"\n"
	b := a + "[[interceptors.bindings]]\nid=\"one\"\n"
	for _, c := range []struct{ name, text, err, hint string }{
		{"nine namespaces", a + `writable_namespaces=["a","b","c","d","e","f","g","h","i"]`, "c.toml:5: 9 writable namespaces, at most 8", ""},
		{"envoy's namespace", a + `writable_namespaces=["envoy.filters.http.rbac"]`, `c.toml:5: namespace "envoy.filters.http.rbac" is reserved`, "envoy"},
		{"our namespace", b + `writable_namespaces=["docket.x"]`, `c.toml:7: namespace "docket.x" is reserved`, ""},
		{"no namespace", a + `accessible_namespaces=[" "]`, "names no namespace", ""},
		{"grant not declared", b + `writable_namespaces=["other"]`, `c.toml:7: binding "one" of interceptor "a" does not ask for other`, "cost, team"},
		{"grant that nobody asks for", a + `attributes=["upstream.address"]`, `c.toml:5: interceptor "a": attributes grants upstream.address, which no binding asks for`, "leave it out"},
		{"attribute", a + `attributes=["principal"]`, `c.toml:5: "principal" names no attribute`, "source.address"},
		{"credential", a + `attributes=["request.headers.authorization"]`, `attribute "request.headers.authorization" is a credential`, "never see"},
		{"wider principal", b + `principals=["user","agent"]`, `c.toml:7: binding "one" of interceptor "a" cannot be widened to user`, "user/*, sandbox"},
		{"principal", b + `principals=["us*r"]`, `"us*r" is not KIND or KIND/SUBJECT`, "user/NAME"},
		{"other label", b + `labels={tier="2"}`, `c.toml:7: binding "one" of interceptor "a" cannot be widened to label tier = "2"`, `tier = "1"`},
		{"label", b + `labels={tier=2}`, `label "tier" is no text`, ""},
		{"mode", a + `mode="dry"`, `mode = "dry" is not one of enforce, shadow`, ""},
		{"audit of a binding", b + `audit="auto"`, `c.toml:7: audit = "auto" is not one of durable, best_effort`, ""},
		{"audit of a method", allow + "[audit]\nmethods={\"s/m\"=\"never\"}", `c.toml:4: methods = "never" is not one of auto, durable, best_effort`, ""},
		{"audit of no method", allow + "[audit]\nmethods={m=\"durable\"}", `c.toml:4: "m" is no method`, "SERVICE/*"},
		{"capture", a + `capture="all"`, `capture = "all" is not one of full, digest, none`, ""},
		{"capture size", a + `capture_max=0`, "capture_max = 0 is not between 1", "digest"},
		{"calls at once", a + `max_concurrent=0`, "max_concurrent = 0 is not between 1", ""},
		{"queue", a + `max_queue=-1`, "max_queue = -1 is not between 1", ""},
		{"both policies", a + "failure_policy=\"fail_open\"\nphase_policies={validate=\"fail_open\"}", "c.toml:6: phase_policies beside failure_policy", "name each phase"},
		{"phase policy closed", a + `phase_policies={post_commit="fail_closed"}`, `c.toml:5: policy "fail_closed" is not for phase post_commit`, "fail_open or ignore"},
		{"phase policy ignored", b + `phase_policies={validate="ignore"}`, `c.toml:7: policy "ignore" is not for phase validate`, "fail_closed or fail_open"},
		{"phase of a policy", a + `phase_policies={valdate="fail_open"}`, `"valdate" is not one of`, `"validate"`},
		{"phase that it has not", b + "phases=[\"validate\"]\nphase_policies={post_commit=\"ignore\"}", `c.toml:8: phase_policies name post_commit, which binding "one" of interceptor "a" has not`, "validate"},
		{"certificate without key", a + "grpc_endpoint=\"https://x:1\"\ntls_client_cert_path=\"c.pem\"", "c.toml:6: tls_client_cert_path and tls_client_key_path", "key"},
		{"certificate without TLS", a + "grpc_endpoint=\"http://x:1\"\ntls_client_cert_path=\"c.pem\"\ntls_client_key_path=\"k.pem\"", "c.toml:6: tls_client_cert_path beside", "https://"},
		{"request size", "[gateway]\nunmatched=\"deny\"\nmax_request_bytes=0", "c.toml:3: max_request_bytes = 0 is not between 1 and 67108864", ""},
		{"secret option", "[gateway]\nunmatched=\"deny\"\nsecret_option=536870912", "c.toml:3: secret_option", "FieldOptions"},
		{"header", "[gateway]\nunmatched=\"deny\"\nattributes=[\"X-Team\"]", `"X-Team" names no header`, "lower case"},
		{"credential header", "[gateway]\nunmatched=\"deny\"\nattributes=[\"x-api-key\"]", `header "x-api-key" is a credential`, "never see"},
		{"redaction without a name", allow + "[[redact]]\ndo=\"mask\"\nregex=\"x\"", "c.toml:3: a redaction has no name", ""},
		{"redaction of nothing", allow + "[[redact]]\nname=\"r\"\ndo=\"mask\"", `redaction "r" finds nothing`, "regex"},
		{"redaction deed", allow + "[[redact]]\nname=\"r\"\ndo=\"hide\"\nregex=\"x\"", `do = "hide" is not one of drop, mask, hmac`, ""},
		{"redaction twice", allow + "[[redact]]\nname=\"r\"\ndo=\"mask\"\nregex=\"x\"\n[[redact]]\nname=\"r\"\ndo=\"mask\"\nregex=\"x\"", `c.toml:8: a second redaction named "r"`, ""},
		{"pointer", allow + "[[redact]]\nname=\"r\"\ndo=\"mask\"\npointers=[\"spec\"]", `"spec" is no JSON pointer`, "/spec"},
		{"regex", allow + "[[redact]]\nname=\"r\"\ndo=\"mask\"\nregex=\"(\"", `regex of redaction "r"`, "RE2"},
		{"regex of nothing", allow + "[[redact]]\nname=\"r\"\ndo=\"mask\"\nregex=\"x*\"", "matches the empty text", ""},
		{"tokens of nobody", allow + "[tokens]\nttl=\"900s\"", `gateway_id = "" is no name`, "issued by"},
		{"tokens too short", allow + "[tokens]\ngateway_id=\"g\"\nttl=\"1ms\"", "less than 1s", "whole seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(t, c.text+"\n", Local("a", asking()))
			refused(t, err, c.err, c.hint)
		})
	}
}

// A name where a kind belongs would keep a binding from every operation.
func TestPrincipalOfNoKind(t *testing.T) {
	b := binds("one", phases(validate), "s/m")
	f, err := read(t, service1(binding1(`id="one"`, `principals=["alice","user/bob","sand*"]`)), Local("a", declares(b)))
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(f.Explanation.Warnings, "\n"); strings.Count(all, "no principal here") != 1 || !strings.Contains(all, `"user/alice"`) {
		t.Errorf("warnings: %s", all)
	}
}

// Single methods can have an audit mode of their own.
func TestAuditOfMethods(t *testing.T) {
	f, err := read(t, allow+"[audit]\nmode=\"durable\"\nmethods={\"s/Touch\"=\"best_effort\",\"t/*\"=\"auto\"}\n")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"s/Touch": "best_effort", "t/*": "auto"}, f.Plan.AuditMethods); d != "" || f.Plan.Audit != "durable" {
		t.Errorf("%s %s", f.Plan.Audit, d)
	}
	var out bytes.Buffer
	if _, err := f.Explanation.WriteTo(&out); err != nil || !strings.Contains(out.String(), "audit of s/Touch: best_effort (line 5)") {
		t.Errorf("%v %s", err, out.String())
	}
}

// In an OpenShell file the tables of interceptors have OpenShell's keys alone.
func TestOwnKeysAreNotOpenShells(t *testing.T) {
	one := Local("a", declares(binds("one", phases(validate), "s/m")))
	for _, key := range ownServiceKeys {
		_, err := read(t, openShell+key+"=1\n", one)
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, line := range []string{"order=1", "principals=[]", "labels={}", `mode="shadow"`, "phase_policies={}", `audit="durable"`, `capture="none"`, "capture_max=1", "attributes=[]", "accessible_namespaces=[]", "writable_namespaces=[]"} {
		_, err := read(t, openShell+"[[openshell.gateway.interceptors.bindings]]\nid=\"one\"\n"+line+"\n", one)
		refused(t, err, "c.toml:17: unknown key", "OpenShell")
	}
}

// Bindings of interceptors of one order run by their own stated order first.
func TestOrderOfBindings(t *testing.T) {
	text := allow + "[[interceptors]]\nname=\"a\"\n[[interceptors.bindings]]\nid=\"y\"\norder=2\n[[interceptors]]\nname=\"b\"\n[[interceptors.bindings]]\nid=\"z\"\norder=-1\n"
	z, y := binds("z", phases(validate)), binds("y", phases(validate))
	y.BindingOrder = -7 // the operator says 2, for a
	f, err := read(t, text, Local("a", declares(z, y)), Local("b", declares(z, y)))
	if err != nil {
		t.Fatal(err)
	}
	var got, explained []string
	for i, b := range f.Plan.Bindings {
		got = append(got, b.Interceptor+b.ID)
		if b.BindingOrder != int32(i) {
			t.Errorf("%s%s has number %d, want %d", b.Interceptor, b.ID, b.BindingOrder, i)
		}
	}
	for _, s := range f.Explanation.Steps {
		explained = append(explained, s.Interceptor+s.Binding.Value)
	}
	if want := []string{"by", "bz", "az", "ay"}; !cmp.Equal(got, want) || !cmp.Equal(explained, want) {
		t.Errorf("the plan has %v, explained as %v, want %v", got, explained, want)
	}
}

// Rule 4: what the operator wrote down wins over what an interceptor declares,
// in both directions, and what it says to no effect is refused.
func TestRule4OperatorBeatsTheManifest(t *testing.T) {
	wish := func(p interceptor.FailurePolicy) described {
		b := binds("one", phases(validate), "s/m")
		b.FailurePolicy = p
		return described{&interceptor.Manifest{Bindings: []interceptor.Binding{b}, FailurePolicy: p}}
	}
	for _, c := range []struct {
		text     string
		manifest interceptor.FailurePolicy
		want     interceptor.FailurePolicy
	}{
		{service1(`failure_policy="fail_closed"`), interceptor.FailOpen, interceptor.FailClosed},
		{service1(`failure_policy="fail_open"`), interceptor.FailClosed, interceptor.FailOpen},
		{service1(`phase_policies={validate="fail_closed"}`), interceptor.FailOpen, interceptor.FailClosed},
		{service1(binding1(`id="one"`, `failure_policy="fail_open"`)), interceptor.FailClosed, interceptor.FailOpen},
		{service1(`failure_policy="fail_open"`, binding1(`id="one"`, `failure_policy="fail_closed"`)), interceptor.FailOpen, interceptor.FailClosed},
		{service1(), interceptor.FailOpen, interceptor.FailOpen},
		{service1(), 0, interceptor.FailClosed},
	} {
		f, err := read(t, c.text, Local("a", wish(c.manifest)))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Plan.Bindings[0].FailurePolicy; got != c.want {
			t.Errorf("%s with a manifest that wishes %s: %s, want %s", c.text, c.manifest, got, c.want)
		}
	}
	_, err := read(t, service1(binding1(`id="two"`, "disabled=true")), Local("a", wish(0)))
	refused(t, err, "declares no such binding", "one")
}

// Tokens go to whom they are for, and not where others can read them.
func TestAudiences(t *testing.T) {
	const on = "[tokens]\ngateway_id=\"g\"\nttl=\"60s\"\n"
	manifest := declares(binds("one", phases(validate), "s/m"))
	manifest.manifest.Audience = "urn:openshell:extension:interceptor:a"
	var dialled Endpoint
	dial := Dialer(func(_ context.Context, e Endpoint) (Client, error) {
		dialled = e
		return closing{manifest, new(int)}, nil
	})
	for _, c := range []struct{ name, text, audience, warning, err string }{
		{"no tokens", service1(`grpc_endpoint="http://x:1"`), "", "called without a token", ""},
		{"default audience", on + service1(`grpc_endpoint="unix:///x"`), "urn:openshell:extension:interceptor:a", "", ""},
		{"stated audience", on + service1(`grpc_endpoint="https://x:1"`, `audience="urn:openshell:extension:interceptor:a"`), "urn:openshell:extension:interceptor:a", "", ""},
		{"in the plain", on + service1(`grpc_endpoint="http://x:1"`), "", "", `its token would travel to http://x:1 in the plain`},
		{"allowed in the plain", on + service1(`grpc_endpoint="http://x:1"`, "allow_insecure_transport=true"), "urn:openshell:extension:interceptor:a", "travels in the plain", ""},
		{"another audience", on + service1(`grpc_endpoint="unix:///x"`, `audience="b"`), "", "", `it expects tokens for "urn:openshell:extension:interceptor:a", and would get them for "b"`},
		{"opted out of the comparison", on + service1(`grpc_endpoint="unix:///x"`, `audience="b"`, "allow_insecure_transport=true"), "b", "", ""},
		{"the gateway itself", on + service1(`grpc_endpoint="unix:///x"`, `audience="openshell-gateway:g"`), "", "", "its audience is the gateway itself"},
		{"an OpenShell file's", "[[openshell.gateway.interceptors]]\nname=\"a\"\ngrpc_endpoint=\"unix:///x\"\n[openshell.gateway.gateway_jwt]\ngateway_id=\"gw\"\nttl_secs=0\nsigning_key_path=\"k\"\n", "urn:openshell:extension:interceptor:a", "signing_key_path is not used", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := read(t, c.text, dial)
			if c.err != "" {
				refused(t, err, c.err, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if dialled.Audience != c.audience || (f.Tokens != nil) != (c.audience != "") || dialled.Tokens != f.Tokens {
				t.Errorf("dialled %+v, tokens %+v", dialled, f.Tokens)
			}
			if !strings.Contains(strings.Join(f.Warnings, "\n"), c.warning) {
				t.Errorf("warnings %q, want %q", f.Warnings, c.warning)
			}
		})
	}
}

// What the file says about the record comes out as it stands.
func TestRecordTables(t *testing.T) {
	f, err := read(t, "[gateway]\nunmatched=\"deny\"\nmax_request_bytes=5\nattributes=[\"x-team\"]\nsecret_option=50002\n[capture]\nmode=\"digest\"\nmax=7\nhmac_key=\"/k\"\n"+
		"[[redact]]\nname=\"r\"\nheaders=[\"h\"]\npointers=[\"/a/*\"]\nregex=\"x\"\nrpcs=[\"s/m\"]\ndo=\"hmac\"\n[tokens]\ngateway_id=\"g\"\nkey=\"k\"\nttl=\"60s\"\n")
	if err != nil {
		t.Fatal(err)
	}
	want := File{
		Gateway:    Gateway{Unmatched: "deny", MaxRequestBytes: 5, Attributes: []string{"x-team"}},
		Redactions: []Redaction{{Name: "r", Headers: []string{"h"}, Pointers: []string{"/a/*"}, Regex: "x", RPCs: []string{"s/m"}, Do: "hmac"}},
		Capture:    Capture{Mode: "digest", Max: 7, HMACKey: filepath.FromSlash("/k")}, Tokens: &Tokens{GatewayID: "g", Key: "k", TTL: time.Minute},
	}
	got := File{Gateway: f.Gateway, Redactions: f.Redactions, Capture: f.Capture, Tokens: f.Tokens}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if d := cmp.Diff(string(a), string(b)); d != "" || f.Plan.SecretOption != 50002 {
		t.Errorf("%s, secret option %d", d, f.Plan.SecretOption)
	}
}

// A manifest over the wire may hold what makes no sense beyond what the file
// lists: allowlist leaves it alone and says so, dynamic and exact refuse it.
func TestMalformedRestOverTheWire(t *testing.T) {
	odd := binds("odd", phases(200), "s/odd")
	endpoint := serve(t, declares(binds("one", phases(validate), "s/m"), odd, binds("", phases(validate), "nonsense")))
	text := func(policy string) string {
		return service1(`grpc_endpoint="`+endpoint+`"`, `binding_policy="`+policy+`"`, binding1(`rpc="s/m"`, `phases=["validate"]`))
	}
	f, err := read(t, text("allowlist"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Warnings, "\n"); len(f.Plan.Bindings) != 1 || strings.Count(got, "a malformed binding") != 2 {
		t.Errorf("%d bindings, warnings %s", len(f.Plan.Bindings), got)
	}
	for _, policy := range []string{"dynamic", "exact"} {
		_, err := read(t, text(policy))
		refused(t, err, `interceptor "a": `, "")
	}
}
