// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/schemas/jsonschema"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"docket": main})
}

// The scripts run this test binary as docket, as its users would.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			for _, listener := range []string{"NATS", "GATEWAY", "API", "FLIGHT", "OPS"} {
				e.Setenv("DOCKET_"+listener+"_LISTEN", "127.0.0.1:0")
			}
			e.Setenv("NO_COLOR", "1")
			for _, name := range []string{"GORACE", "GOGC"} { // nothing of the environment comes by itself
				e.Setenv(name, os.Getenv(name))
			}
			for name, dir := range map[string]string{"DOCS": "../../docs", "FORMATS": "testdata/formats", "RECORDED": "../../internal/profile/testdata"} {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				e.Setenv(name, abs)
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "sql" {
				db, err := sql.Open(context.Background(), sql.Scope{Dir: "."})
				if err != nil {
					return false, nil
				}
				return true, db.Close()
			}
			if name == "race" {
				return underRace, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"flip":       flip,
			"url":        url,
			"examples":   examples,
			"recording":  recording,
			"publish":    publish,
			"capture":    capture,
			"fails":      fails,
			"uid":        uid,
		},
	})
}

// eventually runs a command again until it succeeds and its output holds the
// first argument: eventually TEXT docket ...
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually TEXT COMMAND ...")
	}
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = ts.Exec(args[1], args[2:]...); err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
	}
	ts.Fatalf("never %q in the output of %v: %v", args[0], args[1:], err)
}

// flip changes one bit in the middle of the first file that a pattern names.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil || len(files) == 0 {
		ts.Fatalf("no file %s: %v", args[0], err)
	}
	b, err := os.ReadFile(files[0])
	ts.Check(err)
	b[len(b)/2] ^= 4
	ts.Check(os.WriteFile(files[0], b, 0o600))
}

// url sets a variable to the address of a listener: url NAME DIR LISTENER.
func url(ts *testscript.TestScript, neg bool, args []string) {
	b := ts.ReadFile(filepath.Join(args[1], "run.json"))
	_, rest, ok := strings.Cut(b, strconv.Quote(args[2])+`: "`)
	if !ok {
		ts.Fatalf("no %s in %s", args[2], b)
	}
	address, _, _ := strings.Cut(rest, `"`)
	ts.Setenv(args[0], address)
}

// capture sets a variable to what a pattern found in the last output, or in what
// was said beside it: capture NAME PATTERN, of which the first group counts.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if m == nil {
		ts.Fatalf("no %s in the output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// publish sends a message on the stream: publish URL SUBJECT DATA, the data as a
// Go string without its quotation marks.
func publish(ts *testscript.TestScript, neg bool, args []string) {
	data, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	conn, err := nats.Connect(args[0])
	ts.Check(err)
	defer conn.Close()
	msg := nats.NewMsg(args[1])
	msg.Data, msg.Header["X-Note"] = []byte(data), []string{"\x1b[31mred"}
	js, err := jetstream.New(conn)
	ts.Check(err)
	_, err = js.PublishMsg(context.Background(), msg)
	ts.Check(err)
}

// recording reads a file as the README's test does: recording FILE. Each of its
// operations must be whole.
func recording(ts *testscript.TestScript, neg bool, args []string) {
	n := 0
	for op, err := range activity.Operations(replay.File(ts.MkAbs(args[0])).Events(context.Background(), "")) {
		ts.Check(err)
		if op.Outcome == nil {
			ts.Fatalf("operation %s has no outcome", op.UID)
		}
		n++
	}
	if n == 0 {
		ts.Fatalf("%s has no operations", args[0])
	}
}

// The help of every verb is a golden file: a change of it is looked at.
func TestHelp(t *testing.T) {
	t.Setenv("DOCKET_DATA", "")
	t.Setenv("DOCKET_CONFIG", "")
	var all bytes.Buffer
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		fmt.Fprintf(&all, "$ %s --help\n", c.CommandPath())
		c.SetOut(&all)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		all.WriteString("\n")
		if !c.HasExample() {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root())
	golden(t, "help.golden", all.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; accept with -update):\n%s", name, diff)
	}
}

// What `docket init` writes loads, and knows every key that there is.
func TestInitText(t *testing.T) {
	whole := strings.ReplaceAll(string(initText), "\n#", "\n")
	for _, key := range config.Keys() {
		table, name, _ := strings.Cut(key, ".")
		_, section, ok := strings.Cut(whole, "["+table+"]\n")
		if ok {
			section, _, _ = strings.Cut(section, "\n[")
		}
		if !strings.Contains(section, "\n"+name+" = ") && !strings.HasPrefix(section, name+" = ") {
			t.Errorf("key %s is not in init.toml", key)
		}
	}
	name := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(name, initText, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(name, nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := chainfile.Explain(name); err != nil {
		t.Error(err)
	}
}

// What `docket init` writes mentions every key that the schema has, those of the
// tables that chainfile reads too.
func TestInitTextHasTheSchema(t *testing.T) {
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(jsonschema.Config, &schema); err != nil {
		t.Fatal(err)
	}
	missing := func(where, text string, o object) {
		for key := range o.Properties {
			if !regexp.MustCompile(`(?m)^(#?\[+([a-z]+\.)?` + key + `\]+|#?` + key + ` = )`).MatchString(text) {
				t.Errorf("init.toml has no key %s of %s", key, where)
			}
		}
	}
	text := string(initText)
	delete(schema.Properties, "openshell") // another program's file, which is read as it is
	missing("the file", text, schema.object)
	for name, raw := range schema.Properties {
		var table object
		if err := json.Unmarshal(raw, &table); err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(text, "["+name+"]")
		section, _, _ = strings.Cut(section, "\n[")
		missing(name, section, table)
	}
	_, interceptors, _ := strings.Cut(text, "#[[interceptors]]\n")
	interceptors, bindings, _ := strings.Cut(interceptors, "#[[interceptors.bindings]]")
	bindings, _, _ = strings.Cut(bindings, "\n[")
	missing("interceptors", interceptors+"#[[interceptors.bindings]]", schema.Defs["interceptor"])
	missing("interceptors.bindings", bindings, schema.Defs["binding"])
}

// Who takes the comment signs off the template's interceptor, and of the ways to
// name a binding leaves one, gets what loads and no warning.
func TestInitTextFollowed(t *testing.T) {
	_, text, _ := strings.Cut(string(initText), "#[[interceptors]]\n")
	text, _, _ = strings.Cut(text, "\n# Whose")
	text = "[gateway]\nupstream = \"http://127.0.0.1:1\"\nunmatched = \"allow\"\n[[interceptors]]\n" + strings.TrimPrefix(strings.ReplaceAll("\n"+text, "\n#", "\n"), "\n")
	text = regexp.MustCompile(`(?m)^(tls_ca_cert_path|rpc|service|method|grpc_endpoint) = .*\n`).ReplaceAllString(text, "")
	said := interceptor.Manifest{Bindings: []interceptor.Binding{{ID: "allow-list", Phases: []interceptor.Phase{interceptor.Validate}}}}
	f, err := chainfile.Parse(t.Context(), "docket.toml", []byte(text), chainfile.Local("images", declaring{said}))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(f.Warnings) > 0 || len(f.Plan.Bindings) != 1 {
		t.Errorf("warnings %q, bindings %+v", f.Warnings, f.Plan.Bindings)
	}
}

type declaring struct{ interceptor.Manifest }

func (d declaring) Describe(context.Context) (*interceptor.Manifest, error) { return &d.Manifest, nil }

func (declaring) Evaluate(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

// A word for a shell comes out of one as it was.
func TestQuote(t *testing.T) {
	for _, s := range []string{"plain", "/a/b.c", "with space", "it's", "$HOME", "", "a;b", "x\ny"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(s)).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Skipf("LEFT OUT: no sh: %v", err)
		}
		if string(out) != s {
			t.Errorf("quote(%q) = %s, which a shell reads as %q", s, quote(s), out)
		}
	}
}
