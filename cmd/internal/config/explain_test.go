// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every key says what it is and who said so; what is secret is not shown.
func TestExplain(t *testing.T) {
	file := write(t, `[gateway]
upstream = "http://127.0.0.1:1"
unmatched = "deny"
attributes = ["x-a"]

[nats]
url = "nats://alice:secret@a:1,nats://b:1"
[emitter]
wal_max = "65536KiB"
head_every = 5
canaries = """
key sk-[a-z]+
"""
[lake]
retention = "400d"
[api]
listen = "127.0.0.1:1"
[ops]
listen = "127.0.0.1:1"
`)
	c, err := Load(file, []string{"DOCKET_API_LISTEN=127.0.0.1:2", "DOCKET_OPS_LISTEN=127.0.0.1:2"}, []string{"api.listen=127.0.0.1:3", "collector.flush=1500ms"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Explain()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Explained{}
	for _, e := range all {
		if strings.Contains(e.Value, "secret") || strings.Contains(e.Value, "sk-") {
			t.Errorf("%s shows %s", e.Key, e.Value)
		}
		e.Where = strings.TrimPrefix(e.Where, strings.TrimSuffix(file, "docket.toml"))
		got[e.Key] = e
	}
	for _, key := range Keys() {
		if got[key].Variable != Variable(key) {
			t.Errorf("%s: %+v", key, got[key])
		}
	}
	for _, want := range []Explained{
		{"gateway.upstream", "http://127.0.0.1:1", FromFile, "docket.toml:2", "DOCKET_GATEWAY_UPSTREAM"},
		{"gateway.listen", "127.0.0.1:7070", FromDefault, "", "DOCKET_GATEWAY_LISTEN"},
		{"gateway.attributes", "[x-a]", FromFile, "docket.toml:4", ""},
		{"nats.url", "nats://alice:xxxxx@a:1,nats://b:1", FromFile, "docket.toml:7", "DOCKET_NATS_URL"},
		{"emitter.wal_max", "64MiB", FromFile, "docket.toml:9", "DOCKET_EMITTER_WAL_MAX"},
		{"emitter.head_every", "5", FromFile, "docket.toml:10", "DOCKET_EMITTER_HEAD_EVERY"},
		{"emitter.canaries", "key", FromFile, "docket.toml:11", "DOCKET_EMITTER_CANARIES"},
		{"emitter.queue_max", "", FromDefault, "", "DOCKET_EMITTER_QUEUE_MAX"},
		{"lake.retention", "400d", FromFile, "docket.toml:15", "DOCKET_LAKE_RETENTION"},
		{"api.listen", "127.0.0.1:3", FromFlag, "--set", "DOCKET_API_LISTEN"},
		{"ops.listen", "127.0.0.1:2", FromEnvironment, "DOCKET_OPS_LISTEN", "DOCKET_OPS_LISTEN"},
		{"collector.flush", "1.5s", FromFlag, "--set", "DOCKET_COLLECTOR_FLUSH"},
		{"collector.lease", "15s", FromDefault, "", "DOCKET_COLLECTOR_LEASE"},
		{"nats.replicas", "1", FromDefault, "", "DOCKET_NATS_REPLICAS"},
	} {
		if diff := cmp.Diff(want, got[want.Key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Key, diff)
		}
	}
	if none, err := Load("", nil, nil); err != nil {
		t.Error(err)
	} else if all, err := none.Explain(); err != nil || len(all) != len(Keys()) || all[0].From != FromDefault {
		t.Errorf("without a file: %v, %v", all, err)
	}
}

// What is shown of an amount is read back as the same.
func TestBytesText(t *testing.T) {
	for _, n := range []Bytes{1, 1000, 1023, 1024, 1025, 1 << 20, 1e6, 3 << 30, 5e12, 1 << 61} {
		var back Bytes
		if err := back.UnmarshalText([]byte(n.text())); err != nil || back != n {
			t.Errorf("%d is shown as %s, which is %d: %v", n, n.text(), back, err)
		}
	}
}
