// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/strictoml"
)

// document is the whole of a file. The tables that other parts of the product
// own are named, so that a misspelt one is refused, and otherwise left alone.
type document struct {
	strictoml.Pos
	Gateway      *gatewayTable      `toml:"gateway"`
	Audit        *auditTable        `toml:"audit"`
	Interceptors []interceptorTable `toml:"interceptors"`
	OpenShell    *openShellTable    `toml:"openshell"`

	Tenant    any `toml:"tenant"`
	Principal any `toml:"principal"`
	NATS      any `toml:"nats"`
	OCSF      any `toml:"ocsf"`
	Emitter   any `toml:"emitter"`
	Collector any `toml:"collector"`
	API       any `toml:"api"`
	Ops       any `toml:"ops"`
	Ledger    any `toml:"ledger"`
}

type gatewayTable struct {
	strictoml.Pos
	Listen      string `toml:"listen"`
	Upstream    string `toml:"upstream"`
	Descriptors string `toml:"descriptors"`
	Unmatched   string `toml:"unmatched"`
}

type auditTable struct {
	strictoml.Pos
	Mode     string `toml:"mode"`
	Deadline string `toml:"deadline"`
	Answer   string `toml:"answer"`
}

// openShellTable is what an OpenShell gateway reads. Only its interceptors
// concern us.
type openShellTable struct {
	Gateway struct {
		strictoml.Pos
		Interceptors []interceptorTable `toml:"interceptors"`
		Rest         map[string]any     `toml:",rest"`
	} `toml:"gateway"`
	Rest map[string]any `toml:",rest"`
}

type interceptorTable struct {
	strictoml.Pos
	Name                   string         `toml:"name"`
	Endpoint               string         `toml:"grpc_endpoint"`
	CACertPath             string         `toml:"tls_ca_cert_path"`
	Audience               string         `toml:"audience"`
	AllowInsecureTransport bool           `toml:"allow_insecure_transport"`
	Order                  int32          `toml:"order"`
	FailurePolicy          *string        `toml:"failure_policy"`
	Timeout                *string        `toml:"timeout"`
	MaxResponseBytes       *int           `toml:"max_response_bytes"`
	MaxPatches             *int           `toml:"max_patches"`
	BindingPolicy          string         `toml:"binding_policy"`
	Bindings               []bindingTable `toml:"bindings"`
	Settings               map[string]any `toml:"settings"`
}

type bindingTable struct {
	strictoml.Pos
	ID            string   `toml:"id"`
	RPC           *string  `toml:"rpc"`
	Service       *string  `toml:"service"`
	Method        *string  `toml:"method"`
	Phases        []string `toml:"phases"`
	Disabled      bool     `toml:"disabled"`
	FailurePolicy *string  `toml:"failure_policy"`
}

// Gateway is the [gateway] table, for whoever listens and forwards.
type Gateway struct {
	Listen      string // host:port, or a URL
	Upstream    string // host:port, or a URL
	Descriptors string // path of a FileDescriptorSet; relative ones are taken from the file's directory
	Unmatched   string

	// MaxRequestBytes bounds governed requests; 0 when the file does not say.
	MaxRequestBytes int
	// Attributes names the headers that bindings may be granted as attributes
	// "request.headers.NAME", in lower case.
	Attributes []string
}

// settings is what a file says about everything but the interceptors.
type settings struct {
	openShell  bool
	wantsToken bool // an OpenShell gateway would call interceptors with a token
	gateway    Gateway
	audit      string
	deadline   time.Duration
	answer     string
	origins    map[string]string // of unmatched, mode, deadline and answer
}

// openShellRule is the origin of what an OpenShell file leaves out.
const openShellRule = "OpenShell's rule"

// parse reads a file and checks everything that can be checked without a
// manifest.
func parse(name string, data []byte) (settings, []*service, error) {
	file, err := strictoml.Parse(name, data)
	if err != nil {
		return settings{}, nil, err
	}
	var doc document
	if err := file.Decode(&doc); err != nil {
		return settings{}, nil, err
	}
	tables := doc.Interceptors
	if doc.OpenShell != nil {
		if len(doc.Interceptors) > 0 {
			return settings{}, nil, doc.Errorf("interceptors", "keep one of the two formats in a file",
				"[[interceptors]] beside [[openshell.gateway.interceptors]]")
		}
		tables = doc.OpenShell.Gateway.Interceptors
	}
	s, err := doc.settings(name)
	if err != nil {
		return settings{}, nil, err
	}
	if doc.OpenShell != nil && len(tables) > 0 {
		_, s.wantsToken = doc.OpenShell.Gateway.Rest["gateway_jwt"]
	}
	services := make([]*service, 0, len(tables))
	for i := range tables {
		svc, err := tables[i].service(s.openShell)
		if err != nil {
			return settings{}, nil, err
		}
		svc.caCert = besides(name, tables[i].CACertPath)
		services = append(services, svc)
	}
	return s, services, checkNames(services)
}

func (doc *document) settings(name string) (settings, error) {
	s := settings{openShell: doc.OpenShell != nil, origins: map[string]string{}}
	g := doc.Gateway
	if g == nil {
		g = &gatewayTable{Pos: doc.Pos}
	}
	s.gateway = Gateway{Listen: g.Listen, Upstream: g.Upstream, Descriptors: besides(name, g.Descriptors)}

	const hint = `say in [gateway] what becomes of methods that no binding selects: unmatched = "allow" or unmatched = "deny"`
	var err error
	switch {
	case g.Has("unmatched"):
		s.origins["unmatched"] = g.At("unmatched")
		s.gateway.Unmatched, err = oneOf(g.Pos, "unmatched", g.Unmatched, interceptor.UnmatchedAllow, interceptor.UnmatchedDeny)
	case s.openShell:
		s.origins["unmatched"] = openShellRule
		s.gateway.Unmatched = interceptor.UnmatchedAllow
	default:
		err = g.Errorf("unmatched", hint, "unmatched is missing in [gateway]")
	}
	if err != nil {
		return s, err
	}
	return s, doc.audit(&s)
}

// besides takes a relative path from the directory of the file that says it,
// so that the file means the same wherever the program was started.
func besides(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// defaultDeadline is how long each wait for the audit lasts at most.
const defaultDeadline = 2 * time.Second

func (doc *document) audit(s *settings) error {
	s.audit, s.deadline, s.answer = interceptor.AuditAuto, defaultDeadline, interceptor.AnswerRelease
	for _, key := range []string{"mode", "deadline", "answer"} {
		s.origins[key] = originDefault
	}
	a := doc.Audit
	if a == nil {
		return nil
	}
	var err error
	if a.Has("mode") {
		s.origins["mode"] = a.At("mode")
		s.audit, err = oneOf(a.Pos, "mode", a.Mode, interceptor.AuditAuto, interceptor.AuditDurable, interceptor.AuditBestEffort)
	}
	if err == nil && a.Has("deadline") {
		s.origins["deadline"] = a.At("deadline")
		s.deadline, err = duration(a.Pos, "deadline", a.Deadline, time.Minute)
	}
	if err == nil && a.Has("answer") {
		s.origins["answer"] = a.At("answer")
		s.answer, err = oneOf(a.Pos, "answer", a.Answer, interceptor.AnswerRelease, interceptor.AnswerWithhold)
	}
	return err
}

// oneOf refuses a value that is not one of the words.
func oneOf(p strictoml.Pos, key, value string, words ...string) (string, error) {
	for _, w := range words {
		if value == w {
			return w, nil
		}
	}
	hint := "use " + strings.Join(words, ", ")
	if s := strictoml.Suggest(value, words); s != "" {
		hint = `did you mean "` + s + `"?`
	}
	return "", p.Errorf(key, hint, "%s = %q is not one of %s", key, value, strings.Join(words, ", "))
}
