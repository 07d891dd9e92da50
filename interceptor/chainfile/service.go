// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/strictoml"
)

// Defaults and bounds of an interceptor's table.
const (
	defaultTimeout          = 500 * time.Millisecond
	minTimeout              = time.Millisecond
	maxTimeout              = 30 * time.Second
	defaultMaxResponseBytes = 1 << 20
	maxMaxResponseBytes     = 16 << 20
	defaultMaxPatches       = 32
)

// How much a manifest's word is worth.
const (
	dynamic   = "dynamic"
	allowlist = "allowlist"
	exact     = "exact"
)

// originDefault is the origin of a value that nobody stated.
const originDefault = levelDefault

// maxAtOnce bounds what may be asked of one interceptor at the same time.
const maxAtOnce = 1 << 20

// service is an interceptor's table, checked.
type service struct {
	table            *interceptorTable
	name             string
	endpoint         string
	caCert           string
	clientCert       string
	clientKey        string
	audience         string // of its tokens; "" when it is called without
	timeout          time.Duration
	maxResponseBytes int
	maxPatches       int
	maxConcurrent    int // 0: not stated
	maxQueue         int // 0: not stated
	policy           string
	stated           stated
	settings         map[string]any
	overrides        []*override     // of bindings, in the file's order
	used             map[string]bool // grants of this table that a binding asked for
}

// override is a bindings table, checked.
type override struct {
	table    *bindingTable
	id       string
	rpc      string // "service/method"; "" when none is stated
	phases   []interceptor.Phase
	labels   map[string]string
	stated   stated
	disabled bool
}

func (t *interceptorTable) service(openShell bool) (*service, error) {
	s := &service{table: t, name: strings.TrimSpace(t.Name), endpoint: strings.TrimSpace(t.Endpoint)}
	if s.name == "" {
		return nil, t.Errorf("name", "give each interceptor a name of its own", "an interceptor has no name")
	}
	if openShell {
		if err := t.refuseOwn(s.name); err != nil {
			return nil, err
		}
	}
	if err := t.checkEndpoint(s.endpoint); err != nil {
		return nil, err
	}
	if err := s.limits(); err != nil {
		return nil, err
	}
	var err error
	s.policy = dynamic
	if t.Has("binding_policy") {
		if s.policy, err = oneOf(t.Pos, "binding_policy", t.BindingPolicy, dynamic, allowlist, exact); err != nil {
			return nil, err
		}
	}
	if s.stated, err = t.stated(); err != nil {
		return nil, err
	}
	if s.settings, err = jsonSettings(t.Settings); err != nil {
		return nil, t.Errorf("settings", "settings hold what JSON can hold", "settings of interceptor %q: %v", s.name, err)
	}
	return s, s.readOverrides()
}

// refuseOwn refuses in an OpenShell table what an OpenShell gateway would.
func (t *interceptorTable) refuseOwn(name string) error {
	refuse := func(p strictoml.Pos, keys []string, where string) error {
		for _, key := range keys {
			if p.Has(key) {
				return p.Errorf(key, "an OpenShell gateway refuses this key; [[interceptors]] has it", "unknown key %q in %s %q", key, where, name)
			}
		}
		return nil
	}
	if err := refuse(t.Pos, ownServiceKeys, "interceptor"); err != nil {
		return err
	}
	for i := range t.Bindings {
		if err := refuse(t.Bindings[i].Pos, ownBindingKeys, "a bindings table of interceptor"); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) limits() error {
	t := s.table
	s.timeout, s.maxResponseBytes, s.maxPatches = defaultTimeout, defaultMaxResponseBytes, defaultMaxPatches
	var err error
	if t.Timeout != nil {
		if s.timeout, err = duration(t.Pos, "timeout", *t.Timeout, maxTimeout); err != nil {
			return err
		}
	}
	if n := t.MaxResponseBytes; n != nil {
		if *n < 1 || *n > maxMaxResponseBytes {
			return t.Errorf("max_response_bytes", "", "max_response_bytes = %d is not between 1 and %d", *n, maxMaxResponseBytes)
		}
		s.maxResponseBytes = *n
	}
	if n := t.MaxPatches; n != nil {
		if *n < 1 {
			return t.Errorf("max_patches", `to forbid patches, leave "modify_operation" out of the phases`, "max_patches = %d is less than 1", *n)
		}
		s.maxPatches = *n
	}
	if s.maxConcurrent, err = t.atOnce("max_concurrent", t.MaxConcurrent); err != nil {
		return err
	}
	s.maxQueue, err = t.atOnce("max_queue", t.MaxQueue)
	return err
}

// atOnce reads a number of calls; 0 when none is stated.
func (t *interceptorTable) atOnce(key string, n *int) (int, error) {
	switch {
	case n == nil:
		return 0, nil
	case *n < 1 || *n > maxAtOnce:
		return 0, t.Errorf(key, "", "%s = %d is not between 1 and %d", key, *n, maxAtOnce)
	}
	return *n, nil
}

func (t *interceptorTable) checkEndpoint(endpoint string) error {
	const hint = "use http://HOST:PORT, https://HOST:PORT or unix:///ABSOLUTE/PATH"
	if endpoint == "" {
		if t.Has("grpc_endpoint") {
			return t.Errorf("grpc_endpoint", hint, "grpc_endpoint of interceptor %q is empty", t.Name)
		}
		return nil // refused later, unless the interceptor is linked in process
	}
	if (t.ClientCertPath == "") != (t.ClientKeyPath == "") {
		return t.Errorf("tls_client_cert_path", "a certificate is of use with its key only", "tls_client_cert_path and tls_client_key_path of interceptor %q are not both there", t.Name)
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return t.Errorf("grpc_endpoint", hint, "grpc_endpoint of interceptor %q is not a URL", t.Name)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return t.Errorf("grpc_endpoint", hint, "grpc_endpoint of interceptor %q has more than a place in it", t.Name)
	case u.Scheme == "unix" && (u.Host != "" || !filepath.IsAbs(u.Path)):
		return t.Errorf("grpc_endpoint", hint, "grpc_endpoint %q has no absolute path", endpoint)
	case u.Scheme == "unix":
	case u.Scheme != "http" && u.Scheme != "https":
		return t.Errorf("grpc_endpoint", hint, "grpc_endpoint %q must use http://, https:// or unix://", endpoint)
	case u.Hostname() == "" || strings.Trim(u.Path, "/") != "":
		return t.Errorf("grpc_endpoint", hint, "grpc_endpoint %q is not a host and a port", endpoint)
	}
	if t.CACertPath != "" && u.Scheme != "https" {
		return t.Errorf("tls_ca_cert_path", "it has a use with https:// only", "tls_ca_cert_path beside grpc_endpoint %q", endpoint)
	}
	if t.ClientCertPath != "" && u.Scheme != "https" {
		return t.Errorf("tls_client_cert_path", "it has a use with https:// only", "tls_client_cert_path beside grpc_endpoint %q", endpoint)
	}
	return nil
}

func (s *service) readOverrides() error {
	for i := range s.table.Bindings {
		t := &s.table.Bindings[i]
		o := &override{table: t, id: strings.TrimSpace(t.ID), disabled: t.Disabled}
		var err error
		if o.rpc, err = t.selector(); err != nil {
			return err
		}
		if t.Has("phases") {
			if o.phases, err = t.readPhases(); err != nil {
				return err
			}
		}
		if o.stated, err = t.stated(); err != nil {
			return err
		}
		if o.labels, err = t.selectors(); err != nil {
			return err
		}
		if s.policy == dynamic {
			err = o.checkDynamic(s.overrides)
		} else {
			err = o.checkStrict(s.policy, s.overrides)
		}
		if err != nil {
			return err
		}
		s.overrides = append(s.overrides, o)
	}
	return nil
}

func (o *override) checkDynamic(before []*override) error {
	if o.id == "" && o.rpc == "" {
		return o.table.Errorf("id", "name the manifest's binding by id, or its method by rpc", "a bindings table names no binding")
	}
	if slices.ContainsFunc(before, func(b *override) bool {
		return o.id != "" && b.id == o.id || o.id == "" && b.id == "" && b.rpc == o.rpc
	}) {
		return o.table.Errorf("id", "put everything about a binding into one table", "a second bindings table for %s", o.subject())
	}
	return nil
}

func (o *override) checkStrict(policy string, before []*override) error {
	t := o.table
	switch {
	case t.Has("id"):
		return t.Errorf("id", `remove the id, or set binding_policy = "dynamic"`, "id is not for binding_policy %q: it selects by rpc", policy)
	case t.Has("disabled"):
		return t.Errorf("disabled", "remove the whole table instead", "disabled is not for binding_policy %q", policy)
	case o.rpc == "":
		return t.Errorf("rpc", `add rpc = "SERVICE/METHOD"`, "a bindings table under binding_policy %q selects no method", policy)
	case o.phases == nil:
		return t.Errorf("phases", `add phases = ["validate"]`, "a bindings table under binding_policy %q has no phases", policy)
	case slices.ContainsFunc(before, func(b *override) bool { return b.rpc == o.rpc }):
		return t.Errorf("rpc", "put everything about a method into one table", "a second bindings table for %s", o.subject())
	}
	return nil
}

// subject names what the override is about, for people.
func (o *override) subject() string {
	if o.id != "" {
		return fmt.Sprintf("binding %q", o.id)
	}
	return o.rpc
}

// selector reads rpc, or service and method; "" when neither is there.
func (t *bindingTable) selector() (string, error) {
	const hint = `write rpc = "SERVICE/METHOD", or both service and method`
	switch {
	case t.RPC != nil && (t.Service != nil || t.Method != nil):
		return "", t.Errorf("rpc", hint, "rpc beside service or method")
	case t.RPC != nil:
		rpc, err := parseRPC(*t.RPC)
		if err != nil {
			return "", t.Errorf("rpc", hint, "%v", err)
		}
		return rpc, nil
	case t.Service != nil && t.Method != nil:
		rpc, err := parseRPC(strings.TrimSpace(*t.Service) + "/" + strings.TrimSpace(*t.Method))
		if err != nil {
			return "", t.Errorf("service", hint, "%v", err)
		}
		return rpc, nil
	case t.Service != nil:
		return "", t.Errorf("service", hint, "service without method")
	case t.Method != nil:
		return "", t.Errorf("method", hint, "method without service")
	}
	return "", nil
}

// selectors checks whom the binding is for, and reads its labels.
func (t *bindingTable) selectors() (map[string]string, error) {
	for _, p := range t.Principals {
		if err := checkPrincipal(p); err != nil {
			return nil, t.Errorf("principals", `write "user", "user/NAME" or "user/*"`, "principal %v", err)
		}
	}
	if len(t.Labels) == 0 {
		return nil, nil
	}
	labels := map[string]string{}
	for name, v := range t.Labels {
		value, ok := v.(string)
		if !ok || name == "" {
			return nil, t.Errorf("labels", `write labels = { env = "prod" }, with "*" for any value`, "label %q is no text", name)
		}
		labels[name] = value
	}
	return labels, nil
}

// parseRPC reads "service/method".
func parseRPC(s string) (string, error) {
	s = strings.TrimSpace(s)
	svc, method, ok := strings.Cut(s, "/")
	if !ok || svc == "" || method == "" || strings.Contains(method, "/") || strings.ContainsAny(s, " \t\r\n") {
		return "", fmt.Errorf("rpc %q is not SERVICE/METHOD", s)
	}
	return s, nil
}

func (t *bindingTable) readPhases() ([]interceptor.Phase, error) {
	if len(t.Phases) == 0 {
		return nil, t.Errorf("phases", "to switch a binding off, write disabled = true", "phases is empty: the binding would never run")
	}
	var phases []interceptor.Phase
	for _, word := range t.Phases {
		p, err := phaseOf(t.Pos, "phases", word)
		if err != nil {
			return nil, err
		}
		if slices.Contains(phases, p) {
			return nil, t.Errorf("phases", "", "phase %q is there twice", word)
		}
		phases = append(phases, p)
	}
	slices.Sort(phases)
	return phases, nil
}

// failurePolicy reads a policy; 0 when none is stated.
func failurePolicy(p strictoml.Pos, word *string) (interceptor.FailurePolicy, error) {
	if word == nil {
		return 0, nil
	}
	words := []string{interceptor.FailClosed.String(), interceptor.FailOpen.String(), interceptor.Ignore.String()}
	if _, err := oneOf(p, "failure_policy", *word, words...); err != nil {
		return 0, err
	}
	return interceptor.FailClosed + interceptor.FailurePolicy(slices.Index(words, *word)), nil
}

// duration reads "<n>ms" or "<n>s", as OpenShell does.
func duration(p strictoml.Pos, key, text string, most time.Duration) (time.Duration, error) {
	digits, unit := strings.TrimSpace(text), time.Duration(0)
	if d, ok := strings.CutSuffix(digits, "ms"); ok {
		digits, unit = d, time.Millisecond
	} else if d, ok := strings.CutSuffix(digits, "s"); ok {
		digits, unit = d, time.Second
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || unit == 0 {
		return 0, p.Errorf(key, `write a whole number of milliseconds or seconds: "500ms", "2s"`, "%s = %q is not a duration", key, text)
	}
	d := time.Duration(n) * unit
	if d < minTimeout || d > most {
		return 0, p.Errorf(key, "", "%s = %q is not between %v and %v", key, text, minTimeout, most)
	}
	return d, nil
}

func checkNames(services []*service) error {
	seen := map[string]*service{}
	for _, s := range services {
		if before, again := seen[s.name]; again {
			return s.table.Errorf("name", "the first one is at "+before.table.At("name"), "a second interceptor named %q", s.name)
		}
		seen[s.name] = s
	}
	return nil
}
