// SPDX-License-Identifier: Apache-2.0

package shorthand

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// What OpenShell's own tests expect of its formatter, byte by byte
// (crates/openshell-ocsf/src/format/shorthand.rs).
func TestAsOpenShell(t *testing.T) {
	for _, tc := range []struct{ event, want string }{
		{
			`{"class_uid":4001,"activity_name":"Open","severity_id":1,"action_id":1,"actor":{"process":{"name":"python3","pid":42}},"dst_endpoint":{"domain":"api.example.com","port":443},"firewall_rule":{"name":"default-egress","type":"mechanistic"}}`,
			`NET:OPEN [INFO] ALLOWED python3(42) -> api.example.com:443 [policy:default-egress engine:mechanistic]`,
		},
		{
			`{"class_uid":4001,"activity_name":"Refuse","severity_id":3,"action_id":2,"actor":{"process":{"name":"node","pid":1234}},"dst_endpoint":{"ip":"93.184.216.34","port":443},"connection_info":{"protocol_name":"tcp"},"firewall_rule":{"name":"bypass-detect","type":"nftables"}}`,
			`NET:REFUSE [MED] DENIED node(1234) -> 93.184.216.34:443/tcp [policy:bypass-detect engine:nftables]`,
		},
		{
			`{"class_uid":4001,"activity_name":"Open","severity_id":1,"message":"relay open (channel_id=ch-42)"}`,
			`NET:OPEN [INFO] [msg:relay open (channel_id=ch-42)]`,
		},
		{
			`{"class_uid":4001,"activity_name":"Open","severity_id":3,"action_id":2,"status_detail":"169.254.169.254 resolves to always-blocked address 169.254.169.254, connection rejected","actor":{"process":{"name":"curl","pid":1618}},"dst_endpoint":{"domain":"169.254.169.254","port":80},"firewall_rule":{"name":"-","type":"ssrf"}}`,
			`NET:OPEN [MED] DENIED curl(1618) -> 169.254.169.254:80 [policy:- engine:ssrf] [reason:169.254.169.254 resolves to always-blocked address 169.254.169.254, connection rejected]`,
		},
		{
			`{"class_uid":4002,"severity_id":1,"action_id":1,"actor":{"process":{"name":"curl","pid":88}},"http_request":{"http_method":"GET","url":{"scheme":"https","hostname":"api.example.com","path":"/v1/data","port":443}},"firewall_rule":{"name":"default-egress","type":"mechanistic"}}`,
			`HTTP:GET [INFO] ALLOWED curl(88) -> GET https://api.example.com/v1/data [policy:default-egress engine:mechanistic]`,
		},
		{
			`{"class_uid":4002,"severity_id":1,"action_id":1,"http_request":{"http_method":"POST","url":{"scheme":"http","hostname":"httpbin.org","path":"/anything","port":443}},"firewall_rule":{"name":"httpbin","type":"extension"},"unmapped":{"attempt":2,"cached":true}}`,
			`HTTP:POST [INFO] ALLOWED POST http://httpbin.org:443/anything [policy:httpbin engine:extension] [attempt:2 cached:true]`,
		},
		{
			`{"class_uid":4002,"severity_id":1,"action_id":1,"actor":{"process":{"name":"curl","pid":68}},"http_request":{"http_method":"GET","url":{"scheme":"http","hostname":"172.20.0.1","path":"/test","port":9876}},"firewall_rule":{"name":"allow_host_9876","type":"mechanistic"}}`,
			`HTTP:GET [INFO] ALLOWED curl(68) -> GET http://172.20.0.1:9876/test [policy:allow_host_9876 engine:mechanistic]`,
		},
		{
			`{"class_uid":4002,"severity_id":1,"action_id":1,"message":"JSONRPC_L7_REQUEST decision=allow tools=move_head","http_request":{"http_method":"POST","url":{"scheme":"http","hostname":"host.openshell.internal","path":"/mcp","port":8766}},"firewall_rule":{"name":"reachy-mcp","type":"l7-mcp"}}`,
			`HTTP:POST [INFO] ALLOWED POST http://host.openshell.internal:8766/mcp [policy:reachy-mcp engine:l7-mcp] [msg:JSONRPC_L7_REQUEST decision=allow tools=move_head]`,
		},
		{
			`{"class_uid":4002,"severity_id":3,"action_id":2,"message":"decision=deny tools=move_head","http_request":{"http_method":"POST","url":{"scheme":"http","hostname":"h","path":"/mcp","port":80}},"firewall_rule":{"name":"reachy-mcp","type":"l7-mcp"}}`,
			`HTTP:POST [MED] DENIED POST http://h/mcp [policy:reachy-mcp engine:l7-mcp] [reason:decision=deny tools=move_head]`,
		},
		{
			`{"class_uid":4007,"activity_name":"Open","severity_id":1,"action_id":1,"src_endpoint":{"ip":"10.42.0.1","port":48201},"auth_type_id":99,"auth_type":"NSSH1"}`,
			`SSH:OPEN [INFO] ALLOWED 10.42.0.1:48201 [auth:NSSH1]`,
		},
		{
			`{"class_uid":1007,"activity_name":"Launch","severity_id":1,"process":{"name":"python3","pid":42,"cmd_line":"python3 /app/main.py"}}`,
			`PROC:LAUNCH [INFO] python3(42) [cmd:python3 /app/main.py]`,
		},
		{`{"class_uid":1007,"activity_name":"Terminate","severity_id":1,"exit_code":0,"process":{"name":"python3","pid":42}}`, `PROC:TERMINATE [INFO] python3(42) [exit:0]`},
		{
			`{"class_uid":2004,"activity_name":"Create","severity_id":4,"disposition_id":2,"confidence_id":3,"finding_info":{"uid":"nssh1-replay-abc","title":"NSSH1 Nonce Replay Attack"}}`,
			`FINDING:BLOCKED [HIGH] "NSSH1 Nonce Replay Attack" [type:nssh1-replay-abc confidence:high]`,
		},
		{
			`{"class_uid":2004,"activity_name":"Create","severity_id":1,"finding_info":{"uid":"content_guard.match","title":"configured content matched"},"unmapped":{"count":1,"source":"content_guard","nested":{"secret":"must-not-appear"}}}`,
			`FINDING:CREATE [INFO] "configured content matched" [type:content_guard.match count:1 source:content_guard]`,
		},
		{`{"class_uid":6002,"activity_name":"Start","severity_id":1,"status_id":1,"app":{"name":"openshell-sandbox"}}`, `LIFECYCLE:START [INFO] openshell-sandbox success`},
		{
			`{"class_uid":5019,"severity_id":1,"state_id":99,"state":"loaded","message":"policy reloaded","unmapped":{"policy_version":"v3","policy_hash":"sha256:abc123def456"}}`,
			`CONFIG:LOADED [INFO] policy reloaded [version:v3 hash:sha256:abc123def456]`,
		},
		{
			`{"class_uid":5019,"severity_id":1,"state_id":99,"state":"approved","message":"auto-approved: no new prover findings (source=agent_authored)","unmapped":{"auto":"true","source":"agent_authored","prover_delta":"empty","resolved_from":"sandbox","policy_version":"v4","policy_hash":"sha256:cafe"}}`,
			`CONFIG:APPROVED [INFO] auto-approved: no new prover findings (source=agent_authored) [auto:true source:agent_authored prover_delta:empty resolved_from:sandbox version:v4 hash:sha256:cafe]`,
		},
		{`{"class_uid":0,"severity_id":1,"message":"Network namespace created","unmapped":{"ns":"openshell-sandbox-abc123"}}`, `EVENT [INFO] Network namespace created [ns:openshell-sandbox-abc123]`},
		{
			`{"class_uid":6003,"activity_name":"Other","severity_id":1,"status_id":1,"ai_model":{"name":"llama-3","ai_provider":"nim"},"api":{"operation":"chat.completions"},"unmapped":{"latency_ms":120}}`,
			`API:INFERENCE [INFO] Success llama-3 via nim 120ms [chat.completions]`,
		},
	} {
		got, err := Shorthand([]byte(tc.event))
		if err != nil || got != tc.want {
			t.Errorf("%v\n got %s\nwant %s", err, got, tc.want)
		}
	}
}

// Nobody who controls a field can make a line, or a part of one, that OpenShell or
// Docket would have made.
func TestNothingIsForged(t *testing.T) {
	const evil = "x] [policy:trusted engine:y]\nNET:OPEN [INFO] ALLOWED\x1b[2J\u202e\u200b\\"
	shapes := []string{
		`{"class_uid":4001,"activity_name":E,"severity_id":3,"action_id":2,"status_detail":E,"actor":{"process":{"name":E,"pid":E}},"dst_endpoint":{"domain":E,"port":443},"connection_info":{"protocol_name":E},"firewall_rule":{"name":E,"type":E}}`,
		`{"class_uid":4001,"activity_name":E,"action":E,"message":E}`,
		`{"class_uid":4002,"action_id":2,"message":E,"actor":{"process":{"name":E,"pid":1}},"http_request":{"http_method":E,"url":{"scheme":E,"hostname":E,"path":E,"port":1}},"firewall_rule":{"name":E,"type":E},"unmapped":{E:E}}`,
		`{"class_uid":4002,"action_id":1,"message":E,"http_request":{"url":{"url_string":E}},"firewall_rule":{"type":"l7-mcp"}}`,
		`{"class_uid":6003,"status":E,"ai_model":{"name":E,"ai_provider":E},"api":{"operation":E}}`,
		`{"class_uid":6003,"activity_name":E,"action_id":2,"status_detail":E,"actor":{"user":{"uid":E}},"policy":{"name":E},"metadata":{"event_code":E},"api":{"operation":E}}`,
		`{"class_uid":4007,"activity_name":E,"src_endpoint":{"ip":E},"auth_type":E}`,
		`{"class_uid":1007,"activity_name":E,"process":{"name":E,"pid":1,"cmd_line":E}}`,
		`{"class_uid":2004,"disposition":E,"confidence":E,"finding_info":{"uid":E,"title":E},"unmapped":{E:E}}`,
		`{"class_uid":6002,"activity_name":E,"status":E,"app":{"name":E}}`,
		`{"class_uid":5019,"state":E,"message":E,"unmapped":{"auto":E,"policy_version":E}}`,
		`{"class_uid":0,"message":E,"unmapped":{E:E,"list":[E]}}`,
	}
	e, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range shapes {
		got, err := Shorthand([]byte(strings.ReplaceAll(shape, "E", string(e))))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			if hostile(r) {
				t.Errorf("%q is in %q", r, got)
			}
		}
		// Within quotation marks brackets are as they are.
		bare := got
		if i, j := strings.Index(got, ` "`), strings.LastIndex(got, `" [type:`); i >= 0 && j > i {
			bare = got[:i] + got[j:]
		}
		if strings.Contains(bare, " [policy:trusted engine:y]") || strings.Contains(bare, "] [policy:trusted") {
			t.Errorf("forged: %s", got)
		}
	}
}

// Long texts are cut at a character, and then escaped.
func TestCut(t *testing.T) {
	if got := cut(strings.Repeat("ü", 200), 255); got != strings.Repeat("ü", 127)+"..." {
		t.Errorf("%q", got)
	}
	if got := cut("short", 5); got != "short" {
		t.Errorf("%q", got)
	}
}

// Docket's own events, as they are recorded.
func TestRecorded(t *testing.T) {
	b, err := os.ReadFile("../../../internal/profile/testdata/recorded.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for line := range bytes.Lines(b) {
		s, err := Line(line)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(s + "\n")
	}
	if *update {
		if err := os.WriteFile("testdata/recorded.txt", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/recorded.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever an event is, its line is one line and says nothing to a terminal.
func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"class_uid":4001,"activity_name":"Open","dst_endpoint":{"ip":"::1","port":1e9}}`))
	f.Add([]byte(`{"class_uid":"x","unmapped":[],"actor":{"process":1},"message":{}}`))
	f.Add([]byte(`{"class_uid":2004,"finding_info":null,"unmapped":{"\u001b":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, err := Line(raw)
		if err != nil {
			return
		}
		for _, r := range line {
			if hostile(r) {
				t.Errorf("%q is in %q", r, line)
			}
		}
	})
}
