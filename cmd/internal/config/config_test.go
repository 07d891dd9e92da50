// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrecedence(t *testing.T) {
	file := write(t, `
[gateway]
listen = "127.0.0.1:1"
unmatched = "deny"
[nats]
user = "user"
password_file = "user.password"
ca = "ca.pem"
[ops]
listen = "127.0.0.1:3"
[emitter]
wal_max = "64MiB"
head_interval = "3s"
`)
	c, err := Load(file, []string{"DOCKET_OPS_LISTEN=127.0.0.1:30", "DOCKET_API_LISTEN=127.0.0.1:40", "DOCKET_OTHER=x", "DOCKET_GATEWAY_LISTEN=127.0.0.1:10"},
		[]string{"api.listen=127.0.0.1:400"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ what, got, want string }{
		{"default", c.NATS.Listen, "127.0.0.1:4222"},
		{"default version", c.OCSF.Version, "1.8.0"},
		{"file", c.Gateway.Unmatched, "deny"},
		{"environment over file", c.Ops.Listen, "127.0.0.1:30"},
		{"environment over chainfile's table", c.Gateway.Listen, "127.0.0.1:10"},
		{"flag over environment", c.API.Listen, "127.0.0.1:400"},
		{"password beside the file", c.NATS.PasswordFile, filepath.Join(filepath.Dir(file), "user.password")},
		{"path beside the file", c.NATS.CA, filepath.Join(filepath.Dir(file), "ca.pem")},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, tc.got, tc.want)
		}
	}
	if c.Emitter.WALMax != 64<<20 || time.Duration(c.Emitter.HeadInterval) != 3*time.Second {
		t.Errorf("emitter = %+v", c.Emitter)
	}
	if !c.Overridden("gateway.listen") || c.Overridden("gateway.unmatched") {
		t.Error("Overridden does not tell the environment from the file")
	}
}

func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ name, content, want, hint string }{
		{"unknown key", "[nats]\nlisten = \"x\"\nreplica = 3\n", `docket.toml:3: unknown key "replica" in nats`, `did you mean "replicas"?`},
		{"unknown table", "[nets]\nurl = \"x\"\n", `docket.toml:1: unknown key "nets" in the file`, `did you mean "nats"?`},
		{"wrong type", "[nats]\nreplicas = \"many\"\n", "docket.toml:2: replicas must be an integer, not a string", ""},
		{"no name of a stream", "[nats]\nstream = \"a.b\"\n", `docket.toml: [nats] stream: "a.b" is no name of a stream`, "it is the name that docket stream apply was given with --stream"},
		{"syntax", "[nats\n", "docket.toml:1: ", ""},
		{"wrong value", "[api]\n[collector]\nflush = \"soon\"\n", `docket.toml:3: flush: "soon" is not a duration`, ""},
		{"version without a form", "[ocsf]\nversion = \"1.7.0\"\n", `docket.toml:2: version: "1.7.0" is none of 1.8.0, 1.9.0`, ""},
		{"none of the words", "[emitter]\nwal_full = \"burn\"\n", `docket.toml:2: wal_full: "burn" is none of custody, deny`, ""},
		{"wrong value of chainfile's", "[gateway]\nunmatched = \"deny\"\n[audit]\ndeadline = \"soon\"\n", `docket.toml:4: deadline`, ""},
		{"user without password", "[nats]\nuser = \"gateway\"\n", "[nats]: a user without a password file", "write user and password_file, or creds"},
		{"password without user", "[nats]\npassword_file = \"p\"\n", "[nats]: a password file without a user", "write user and password_file, or creds"},
		{"two ways to be known", "[nats]\ncreds = \"c\"\nuser = \"u\"\npassword_file = \"p\"\n", "[nats]: credentials and a user: one of them", "write user and password_file, or creds"},
		{"number for a text", "[collector]\nflush = 3\n", `docket.toml:2: flush must be a string`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(write(t, tc.content), nil, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			var h interface{ Hint() string }
			if tc.hint != "" && (!errors.As(err, &h) || h.Hint() != tc.hint) {
				t.Errorf("error %v without hint %q", err, tc.hint)
			}
		})
	}
	if _, err := Load("", nil, []string{"nats.lisen=x"}); err == nil || !strings.Contains(err.Error(), `unknown key "nats.lisen"`) {
		t.Errorf("--set with a typo: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

// What the environment and flags say wrong is said to be theirs, not the file's.
func TestMistakesBesideTheFile(t *testing.T) {
	for _, tc := range []struct {
		name         string
		environ, set []string
		want, hint   string
	}{
		{"unknown variable", []string{"DOCKET_API_LISTN=x"}, nil, "environment: unknown variable DOCKET_API_LISTN", "did you mean DOCKET_API_LISTEN?"},
		{"far from every key", []string{"DOCKET_INTERCEPTORS_QQQQQQQQQQQQQQQQ=x"}, nil, "unknown variable DOCKET_INTERCEPTORS_QQ", "`docket init` writes a file with every key"},
		{"amount in the environment", []string{"DOCKET_EMITTER_WAL_MAX=lots"}, nil, `environment variable DOCKET_EMITTER_WAL_MAX: emitter.wal_max: "lots" is not an amount`, ""},
		{"amount in a flag", nil, []string{"emitter.wal_max=lots"}, `--set emitter.wal_max: "lots" is not an amount`, "`docket init`"},
		{"word in a flag", nil, []string{"gateway.unmatched=maybe"}, `--set gateway.unmatched: "maybe" is none of allow, deny`, ""},
		{"number in a flag", nil, []string{"nats.replicas=many"}, `--set nats.replicas: "many" is not a whole number`, ""},
	} {
		_, err := Load(write(t, "[emitter]\nwal_max = \"1GiB\"\n"), tc.environ, tc.set)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "docket.toml") {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
			continue
		}
		var h interface{ Hint() string }
		if tc.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), tc.hint)) {
			t.Errorf("%s: error %v without hint %q", tc.name, err, tc.hint)
		}
	}
	others := []string{
		"DOCKET_DATA=d", "DOCKET_CONFIG=c", "DOCKET_E2E_DEEP=1", "DOCKET_API=x", "DOCKET_API_SERVICE_HOST=10.0.0.1", "DOCKET_API_SERVICE_PORT_HTTP=1",
		"DOCKET_NATS_PORT=tcp://10.0.0.1:4222", "DOCKET_NATS_PORT_4222_TCP_ADDR=10.0.0.1", "PATH=/bin",
	}
	c, err := Load("", append(others, "DOCKET_NATS_REPLICAS=3"), []string{"collector.flush=2s"})
	if err != nil || c.NATS.Replicas != 3 || time.Duration(c.Collector.Flush) != 2*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
}

// The tables that chainfile checks pass as they are, whatever is in them.
func TestForeignTables(t *testing.T) {
	c, err := Load(write(t, "[gateway]\nlisten=\"a:1\"\nnonsense=1\n[[interceptors]]\nname=\"x\"\n[[interceptors.bindings]]\nid=\"b\"\n[[openshell.gateway.interceptors]]\nname=\"y\"\n"), nil, nil)
	if err != nil || c.Gateway.Listen != "a:1" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestKeysHaveVariables(t *testing.T) {
	keys := Keys()
	if !slices.Contains(keys, "emitter.queue_max") || Variable("emitter.queue_max") != "DOCKET_EMITTER_QUEUE_MAX" {
		t.Errorf("keys: %v", keys)
	}
}

// What changed in a file is told by its keys, and what the command line says
// over it has not changed.
func TestChanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "docket.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[gateway]\nupstream = \"http://127.0.0.1:1\"\nunmatched = \"allow\"\nattributes = [\"x-a\"]\n[tenant]\nfixed = \"acme\"\n[ops]\nlisten = \"127.0.0.1:1\"\n")
	was, err := Load(name, nil, []string{"ops.listen=127.0.0.1:9"})
	if err != nil {
		t.Fatal(err)
	}
	was.Emitter.Name = "named afterwards" // is no change of the file
	write("[gateway]\nupstream = \"http://127.0.0.1:2\"\nunmatched = \"allow\"\nattributes = [\"x-b\"]\nmax_request_bytes = 5\n" +
		"[principal]\nmetadata_key = \"x-user\"\n[ops]\nlisten = \"127.0.0.1:2\"\n[emitter]\nwal_max = \"1MiB\"\n")
	now, err := was.Again()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"emitter.wal_max", "gateway.attributes", "gateway.max_request_bytes", "gateway.upstream", "principal.metadata_key", "tenant.fixed"}
	if diff := cmp.Diff(want, was.Changed(now)); diff != "" {
		t.Error(diff)
	}
	if got := now.Changed(now); len(got) > 0 {
		t.Errorf("changed from itself: %v", got)
	}
}
