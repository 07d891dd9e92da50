// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// The demo's chain, linked in process, decides as the package comment says.
func TestDecisions(t *testing.T) {
	name := filepath.Join(t.TempDir(), "chain.toml")
	text, err := Chain(map[string]string{"service": "unix:///s", "naming": "unix:///n", "images": "unix:///i", "quota": "unix:///q"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	chain, err := interceptor.New(chainfile.ForTest(t, name, Link(nil)), interceptor.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close(context.Background())
	caller := &caller{tenant: "acme"}
	create := func(change func(*sandboxv1.Sandbox)) proto.Message {
		sb := caller.sandbox(0, imageOf(0))
		change(sb)
		return &sandboxv1.CreateSandboxRequest{Sandbox: sb}
	}
	for _, tc := range []struct {
		name, method string
		request      proto.Message
		want         interceptor.Decision
		by           string
	}{
		{"fine", "CreateSandbox", create(func(*sandboxv1.Sandbox) {}), interceptor.Allow, ""},
		{"ill-named", "CreateSandbox", create(func(s *sandboxv1.Sandbox) { s.Name = "Box" }), interceptor.Modify, ""},
		{"unlabelled", "CreateSandbox", create(func(s *sandboxv1.Sandbox) { s.Labels = nil }), interceptor.Modify, ""},
		{"foreign image", "CreateSandbox", create(func(s *sandboxv1.Sandbox) { s.Spec.Image = "evil" }), interceptor.Deny, "images/allow-list"},
		{"too large", "CreateSandbox", create(func(s *sandboxv1.Sandbox) { s.Spec.Replicas = 99 }), interceptor.Deny, "quota/create"},
		{"kept", "DeleteSandbox", &sandboxv1.DeleteSandboxRequest{Name: "keep-x"}, interceptor.Deny, "naming/keep"},
		{"kept but only read", "GetSandbox", &sandboxv1.GetSandboxRequest{Name: "keep-x"}, interceptor.Allow, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := chain.Run(context.Background(), &interceptor.Operation{
				Service: sandboxv1.Sandboxes_ServiceDesc.ServiceName, Method: tc.method, Request: tc.request,
			}, func(_ context.Context, m proto.Message) (proto.Message, error) {
				return &sandboxv1.GetSandboxResponse{}, nil
			})
			by := ""
			if out.By != nil {
				by = out.By.Interceptor + "/" + out.By.Binding
			}
			if out.Decision != tc.want || by != tc.by {
				t.Errorf("%v by %q (%s), want %v by %q", out.Decision, by, out.Reason, tc.want, tc.by)
			}
		})
	}
}

// What is linked is for the settings to say. A name says nothing: it may be
// anybody's.
func TestLinkGoesBySettings(t *testing.T) {
	linked := func(table string) (names []string, err error) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "chain.toml")
		text := "[gateway]\nunmatched = \"deny\"\n[[interceptors]]\ngrpc_endpoint = \"unix:///x.sock\"\n" + table
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = chainfile.Explain(name, Link(func(name string, _ interceptor.Interceptor) { names = append(names, name) }))
		return names, err
	}
	if names, err := linked("name = \"images\"\n"); len(names) > 0 || err != nil {
		t.Errorf("somebody's own images: linked %v, %v", names, err)
	}
	if names, err := linked("name = \"mine\"\nsettings = { demo = \"images\" }\n"); len(names) != 1 || names[0] != "mine" || err != nil {
		t.Errorf("the demo's images under another name: linked %v, %v", names, err)
	}
	for _, bad := range []string{`"imagse"`, "7", `"images", alow = []`, `"quota", allow = []`} {
		if names, err := linked("name = \"mine\"\nsettings = { demo = " + bad + " }\n"); err == nil {
			t.Errorf("demo = %s: linked %v", bad, names)
		}
	}
}

// Each part is made from the same tables.
func TestPartsAreServedByTheirSettings(t *testing.T) {
	dir := t.TempDir()
	endpoints := map[string]string{"service": "unix:///s", "naming": "unix:///n", "images": "unix:///i", "quota": "unix:///q"}
	text, err := Chain(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "chain.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.ReplaceAll(string(text), `name = "`, `name = "our-`))
	for _, name := range Interceptors {
		i, err := Part{Name: name, Dir: dir}.served()
		if err != nil {
			t.Fatal(err)
		}
		if m, err := i.Describe(t.Context()); err != nil || m.Name != name {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	write(strings.ReplaceAll(string(text), `demo = "`, `demon = "`))
	for _, name := range Interceptors {
		if _, err := (Part{Name: name, Dir: dir}).served(); err == nil {
			t.Errorf("%s: served without a table", name)
		}
	}
}

func TestJournalDropsATornLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "j.ndjson")
	for range 2 {
		j, err := OpenJournal(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Write(Line{Method: "GetSandbox", Status: "OK"}); err != nil {
			t.Fatal(err)
		}
		j.Close()
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"method":"torn`)
		f.Close()
	}
	j, err := OpenJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	for _, l := range lines {
		var line map[string]any
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Errorf("line %q: %v", l, err)
		}
		if _, ok := line["operation_uid"]; ok {
			t.Errorf("line %q has an operation although none was answered", l)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines, want 2", len(lines))
	}
}

// Call n is the same in every run: what two clients send is equal, byte by byte.
func TestTrafficIsTheSameInEveryRun(t *testing.T) {
	a, b := &caller{tenant: "acme"}, &caller{tenant: "acme"}
	for n := range 40 {
		if !proto.Equal(a.sandbox(n, imageOf(n/3)), b.sandbox(n, imageOf(n/3))) {
			t.Errorf("call %d differs", n)
		}
	}
}
