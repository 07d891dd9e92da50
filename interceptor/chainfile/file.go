// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"maps"
	"path/filepath"
	"slices"
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
	Redact       []redactTable      `toml:"redact"`
	Capture      *captureTable      `toml:"capture"`
	Tokens       *tokensTable       `toml:"tokens"`

	Tenant    any `toml:"tenant"`
	Principal any `toml:"principal"`
	NATS      any `toml:"nats"`
	OCSF      any `toml:"ocsf"`
	Emitter   any `toml:"emitter"`
	Collector any `toml:"collector"`
	API       any `toml:"api"`
	Flight    any `toml:"flight"`
	Ops       any `toml:"ops"`
	Ledger    any `toml:"ledger"`
	Lake      any `toml:"lake"`
	Store     any `toml:"store"`
	Telemetry any `toml:"telemetry"`
	Auth      any `toml:"auth"`
}

type gatewayTable struct {
	strictoml.Pos
	Listen      string `toml:"listen"`
	Upstream    string `toml:"upstream"`
	Descriptors string `toml:"descriptors"`
	Unmatched   string `toml:"unmatched"`

	MaxRequestBytes *int     `toml:"max_request_bytes"`
	Attributes      []string `toml:"attributes"`
	SecretOption    *int32   `toml:"secret_option"`
}

type auditTable struct {
	strictoml.Pos
	Mode     string `toml:"mode"`
	Deadline string `toml:"deadline"`
	Answer   string `toml:"answer"`

	Methods map[string]any `toml:"methods"`
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

	// The keys of the own format only.
	Settings       map[string]any `toml:"settings"`
	MaxConcurrent  *int           `toml:"max_concurrent"`
	MaxQueue       *int           `toml:"max_queue"`
	ClientCertPath string         `toml:"tls_client_cert_path"`
	ClientKeyPath  string         `toml:"tls_client_key_path"`
	Mode           *string        `toml:"mode"`
	PhasePolicies  map[string]any `toml:"phase_policies"`
	Audit          *string        `toml:"audit"`
	Capture        *string        `toml:"capture"`
	CaptureMax     *int           `toml:"capture_max"`
	Attributes     []string       `toml:"attributes"`
	Reads          []string       `toml:"accessible_namespaces"`
	Writes         []string       `toml:"writable_namespaces"`
}

// ownServiceKeys and ownBindingKeys are what an OpenShell gateway refuses in its
// tables, as we do in a file that is one's.
var (
	ownServiceKeys = append([]string{"settings", "max_concurrent", "max_queue", "tls_client_cert_path", "tls_client_key_path"}, ownKeys...)
	ownBindingKeys = append([]string{"order", "principals", "labels"}, ownKeys...)
	ownKeys        = []string{"mode", "phase_policies", "audit", "capture", "capture_max", "attributes", "accessible_namespaces", "writable_namespaces"}
)

type bindingTable struct {
	strictoml.Pos
	ID            string   `toml:"id"`
	RPC           *string  `toml:"rpc"`
	Service       *string  `toml:"service"`
	Method        *string  `toml:"method"`
	Phases        []string `toml:"phases"`
	Disabled      bool     `toml:"disabled"`
	FailurePolicy *string  `toml:"failure_policy"`

	// The keys of the own format only.
	Order         int32          `toml:"order"`
	Principals    []string       `toml:"principals"`
	Labels        map[string]any `toml:"labels"`
	Mode          *string        `toml:"mode"`
	PhasePolicies map[string]any `toml:"phase_policies"`
	Audit         *string        `toml:"audit"`
	Capture       *string        `toml:"capture"`
	CaptureMax    *int           `toml:"capture_max"`
	Attributes    []string       `toml:"attributes"`
	Reads         []string       `toml:"accessible_namespaces"`
	Writes        []string       `toml:"writable_namespaces"`
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
	openShell bool
	gateway   Gateway
	secret    int32 // the option that marks secrets; 0: not stated
	audit     string
	audits    map[string]string // by method
	deadline  time.Duration
	answer    string
	origins   map[string]string // of what the file says, by its key

	redactions []Redaction
	capture    Capture
	tokens     *Tokens
	warnings   []string // about tables that are no interceptor's
}

// originsOf notes where a table says what it says.
func (s *settings) originsOf(p strictoml.Pos, prefix string, keys ...string) {
	for _, key := range keys {
		if p.Has(key) {
			s.origins[prefix+key] = p.At(key)
		}
	}
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
	services := make([]*service, 0, len(tables))
	for i := range tables {
		svc, err := tables[i].service(s.openShell)
		if err != nil {
			return settings{}, nil, err
		}
		svc.caCert = besides(name, tables[i].CACertPath)
		svc.clientCert, svc.clientKey = besides(name, tables[i].ClientCertPath), besides(name, tables[i].ClientKeyPath)
		if err := svc.checkToken(s.tokens); err != nil {
			return settings{}, nil, err
		}
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
	if err == nil {
		err = g.bounds(&s)
	}
	if err == nil {
		err = doc.audit(&s)
	}
	if err == nil {
		err = doc.record(name, &s)
	}
	if err == nil {
		err = doc.tokens(name, &s)
	}
	return s, err
}

const (
	maxMaxRequestBytes = 64 << 20
	maxFieldNumber     = 1<<29 - 1
	defaultSecret      = 50001
)

// bounds reads those keys of [gateway] that say what is governed in detail.
func (g *gatewayTable) bounds(s *settings) error {
	if n := g.MaxRequestBytes; n != nil {
		if *n < 1 || *n > maxMaxRequestBytes {
			return g.Errorf("max_request_bytes", "", "max_request_bytes = %d is not between 1 and %d", *n, maxMaxRequestBytes)
		}
		s.gateway.MaxRequestBytes = *n
	}
	if n := g.SecretOption; n != nil {
		if *n < 1 || *n > maxFieldNumber {
			return g.Errorf("secret_option", "it is the number of an extension of google.protobuf.FieldOptions", "secret_option = %d is no number of a field", *n)
		}
		if *n != defaultSecret { // saying the default makes no other plan
			s.secret = *n
		}
	}
	for _, header := range g.Attributes {
		if err := checkHeader(g.Pos, header); err != nil {
			return err
		}
	}
	s.gateway.Attributes = g.Attributes
	return nil
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
	if err == nil {
		err = a.methods(s)
	}
	return err
}

// methods reads when the facts of single methods are waited for.
func (a *auditTable) methods(s *settings) error {
	for _, name := range slices.Sorted(maps.Keys(a.Methods)) {
		if _, err := parseRPC(name); err != nil {
			return a.Errorf("methods", `write "SERVICE/METHOD", or "SERVICE/*" for all of a service`, "%q is no method", name)
		}
		word, _ := a.Methods[name].(string)
		mode, err := oneOf(a.Pos, "methods", word, interceptor.AuditAuto, interceptor.AuditDurable, interceptor.AuditBestEffort)
		if err != nil {
			return err
		}
		if s.audits == nil {
			s.audits = map[string]string{}
			s.origins["methods"] = a.At("methods")
		}
		s.audits[name] = mode
	}
	return nil
}

// oneOf refuses a value that is not one of the words.
func oneOf(p strictoml.Pos, key, value string, words ...string) (string, error) {
	for _, w := range words {
		if value == w {
			return w, nil
		}
	}
	hint := "use " + strings.Join(words, ", ")
	if value == "" && !p.Has(key) {
		return "", p.Errorf("", hint, "%s is missing", key)
	}
	if s := strictoml.Suggest(value, words); s != "" {
		hint = `did you mean "` + s + `"?`
	}
	return "", p.Errorf(key, hint, "%s = %q is not one of %s", key, value, strings.Join(words, ", "))
}
