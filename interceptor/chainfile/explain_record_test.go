// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is kept, what is withheld and by what interceptors know who calls is
// explained as the rest: with the place that says so.
func TestExplainTheRecord(t *testing.T) {
	const services = `[[interceptors]]
name = "far"
grpc_endpoint = "unix:///a"
audience = "urn:far"
[[interceptors]]
name = "near"
[[interceptors]]
name = "plain"
grpc_endpoint = "http://127.0.0.1:1"
allow_insecure_transport = true
`
	const tables = `[capture]
mode = "digest"
max = 7
hmac_key = "h.key"
[[redact]]
name = "keys"
headers = ["x-key"]
pointers = ["/a/*", "/b"]
regex = "k[0-9]+"
rpcs = ["s/m"]
do = "hmac"
[[redact]]
name = "all"
pointers = ["/c"]
do = "drop"
[tokens]
gateway_id = "edge"
key = "t.key"
ttl = "60s"
`
	const shell = `[[openshell.gateway.interceptors]]
name = "far"
grpc_endpoint = "unix:///a"
[openshell.gateway.gateway_jwt]
ttl_secs = 30
`
	for _, c := range []struct {
		name string
		text string
		want []string
		not  []string
	}{
		{"nothing said", allow + services, []string{"payloads in the record: full (default), of those over 262144 (default) bytes the digest"}, []string{"tokens", "hmac", "WITHHELD", "TOKENS"}},
		{
			"all said", allow + services + tables,
			[]string{
				"payloads in the record: digest (line 14), of those over 7 (line 15) bytes the digest",
				"key of redactions by hmac: h.key (line 16)",
				"tokens: issued by openshell-gateway:edge (line 29), each for 1m0s (line 31), signed with t.key (line 30)",
				"WITHHELD BY WHAT OF HOW", "keys header x-key, pointer /a/*, pointer /b, regex k[0-9]+ s/m hmac (line 23)", "all pointer /c every method drop (line 27)",
				"TOKENS FOR AUDIENCE", "far urn:far (service, line 6)", "plain urn:openshell:extension:interceptor:plain (default)",
			},
			[]string{"near urn:"},
		},
		{
			"an OpenShell file", shell,
			[]string{`tokens: issued by openshell-gateway:openshell (default), each for 30s (line 4), signed with DIR/keys/tokens.key (default)`, "far urn:openshell:extension:interceptor:far (default)"},
			nil,
		},
		{"a rule by hmac, without a key", allow + strings.Replace(tables, "hmac_key = \"h.key\"\n", "", 1), []string{"key of redactions by hmac: DIR/keys/redact.key (default)", "no binding is in force"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.text)
			e, err := Explain(path, Local("near", two))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if _, err := e.WriteTo(&out); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for line := range strings.Lines(strings.ReplaceAll(out.String(), filepath.Dir(path)+"/", "")) {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
			got := strings.Join(lines, "\n")
			for _, want := range c.want {
				if !strings.Contains("\n"+got+"\n", "\n"+want+"\n") {
					t.Errorf("not explained: %s\n%s", want, out.String())
				}
			}
			for _, not := range c.not {
				if strings.Contains(got, not) {
					t.Errorf("explained: %s\n%s", not, out.String())
				}
			}
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var back Explanation
			if err := json.Unmarshal(raw, &back); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]any{e.Capture, e.HMACKey, e.Withheld, e.Tokens}, []any{back.Capture, back.HMACKey, back.Withheld, back.Tokens}); d != "" {
				t.Error(d)
			}
		})
	}
}
