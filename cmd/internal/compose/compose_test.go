// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/docket-audit/docket/cmd/internal/compose"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/demo"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

func load(t *testing.T) *compose.Project {
	t.Helper()
	p, err := compose.Load(t.Context(), ".", "*")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMounts(t *testing.T) {
	p := load(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != "bind" {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !v.ReadOnly && name != "secrets" {
				t.Errorf("%s: %s is mounted from the repository and not read-only", name, v.Target)
			}
		}
	}
}

// Where a service runs one of our images its Dockerfile stage must exist, and
// each volume that it writes to must be a directory that the image gives to
// its user: the engine copies the owner from there.
func TestImages(t *testing.T) {
	p := load(t)
	data, err := os.ReadFile(filepath.Join(p.Root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := make(map[string]string)
	stage := ""
	for line := range strings.Lines(string(data)) {
		if m := regexp.MustCompile(`^FROM \S+ AS (\S+)`).FindStringSubmatch(line); m != nil {
			stage = m[1]
		}
		stages[stage] += line
	}
	for name, s := range p.Services {
		if s.Build == nil {
			continue
		}
		text, ok := stages[s.Build.Target]
		if !ok {
			t.Errorf("%s: the Dockerfile has no stage %q", name, s.Build.Target)
		}
		if s.Image != s.Build.Target {
			t.Errorf("%s: image %s is built from stage %s", name, s.Image, s.Build.Target)
		}
		for _, v := range s.Volumes {
			if v.Type == "volume" && !strings.Contains(text, "--chown=nonroot:nonroot "+v.Target+" ") {
				t.Errorf("%s: the user of the image cannot write to %s", name, v.Target)
			}
		}
	}
}

// Every variable that the file reads has a default, and every variable that a
// service is given is one that its program reads.
func TestVariables(t *testing.T) {
	p := load(t)
	source, err := os.ReadFile(filepath.Join(p.Root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\$\{([^}]*)\}`).FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(m[1], ":-") {
			t.Errorf("${%s} has no default: docker compose up would not work as it stands", m[1])
		}
	}
	known := map[string][]string{
		"docket":         {"DOCKET_DATA", "DOCKET_CONFIG", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_METRICS_EXPORTER"},
		"docket-gateway": {"DOCKET_DATA", "DOCKET_CONFIG", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_METRICS_EXPORTER"},
		"grafana":        {"GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_AUTH_ANONYMOUS_ENABLED", "GF_AUTH_ANONYMOUS_ORG_ROLE", "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", "GF_PLUGINS_PREINSTALL"},
	}
	grafana := p.Services["grafana"] // reads those that its data sources name, and each of them has to be there
	for _, m := range regexp.MustCompile(`\$\{?(DOCKET_\w+)`).FindAllStringSubmatch(contents(t, p.HostPath(&grafana, "/etc/grafana/provisioning/datasources")), -1) {
		known["grafana"] = append(known["grafana"], m[1])
		if grafana.Environment[m[1]] == nil {
			t.Errorf("grafana is not given %s", m[1])
		}
	}
	for _, key := range config.Keys() {
		known["docket"] = append(known["docket"], config.Variable(key))
		known["docket-gateway"] = append(known["docket-gateway"], config.Variable(key))
	}
	for name, s := range p.Services {
		for variable := range s.Environment {
			if !slices.Contains(known[program(s.Image)], variable) {
				t.Errorf("%s: %s does not read %s", name, s.Image, variable)
			}
		}
	}
}

// program is the last part of an image's name without its tag.
func program(image string) string {
	name, _, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return name
}

// listens are the ports that the services listen on, as their own
// configuration says.
func listens(t *testing.T, p *compose.Project) map[string][]int {
	t.Helper()
	out := map[string][]int{"prometheus": {9090}, "grafana": {3000}, "clickhouse": {8123, 9000}, "otel": otelPorts(t, p)}
	for _, profile := range []string{"small", "full"} {
		for name, o := range natsOptions(t, profile) {
			out[name] = []int{o.Port, o.Cluster.Port}
		}
	}
	for name, file := range ours {
		s := p.Services[name]
		c, err := config.Load(filepath.Join(p.Root, file), compose.Environ(&s), nil)
		if err != nil {
			t.Fatal(err)
		}
		addresses := []string{c.Ops.Listen}
		if c.HasGateway {
			addresses = append(addresses, c.Gateway.Listen)
		}
		for _, address := range addresses {
			host, port, err := net.SplitHostPort(address)
			if err != nil || host != "0.0.0.0" {
				t.Errorf("%s: nobody outside the container reaches %s", file, address)
			}
			n, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = append(out[name], n)
		}
	}
	return out
}

// ours are the services that read a configuration of Docket's, and which.
var ours = map[string]string{
	"docket": "deploy/docket.toml", "docket-full": "deploy/docket.toml",
	"docket-gateway": "deploy/gateway.toml", "docket-gateway-full": "deploy/gateway.toml",
}

// natsOptions are those of the servers of a profile, as their files have them.
func natsOptions(t *testing.T, profile string) map[string]*server.Options {
	t.Helper()
	m := newMachine(t, profile)
	out := map[string]*server.Options{}
	for name, s := range m.Running("nats:2.15.2-alpine") {
		o, err := server.ProcessConfigFile(m.path(&s, s.Command[1]))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = o
	}
	return out
}

// Whatever names another service by address names a service that there is and
// a port that it listens on.
func TestAddresses(t *testing.T) {
	p := load(t)
	open := listens(t, p)
	for name, s := range p.Services {
		for _, n := range s.Networks {
			if n == nil {
				continue
			}
			for _, alias := range n.Aliases {
				open[alias] = open[name]
			}
		}
	}
	check := func(where, address string) {
		t.Helper()
		host, port, err := net.SplitHostPort(address)
		n, aerr := strconv.Atoi(port)
		if err != nil || aerr != nil || !slices.Contains(open[host], n) {
			t.Errorf("%s: %s: service %q listens on %v", where, address, host, open[host])
		}
	}
	checkURLs := func(where, text string) {
		t.Helper()
		for _, m := range regexp.MustCompile(`(?:nats|tls|https?)://[^\s,"'\]]+`).FindAllString(text, -1) {
			u, err := url.Parse(m)
			if err != nil {
				t.Errorf("%s: %v", where, err)
			} else if u.Hostname() != "127.0.0.1" {
				check(where, u.Host)
			}
		}
	}
	for name, s := range p.Services {
		for _, port := range s.Ports {
			if !slices.Contains(open[name], int(port.Target)) {
				t.Errorf("%s publishes port %d and listens on %v", name, port.Target, open[name])
			}
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %d beyond this machine", name, port.Target)
			}
		}
		for _, port := range s.Expose {
			if n, err := strconv.Atoi(port); err != nil || !slices.Contains(open[name], n) {
				t.Errorf("%s exposes port %s and listens on %v", name, port, open[name])
			}
		}
		for _, value := range compose.Environ(&s) {
			checkURLs(name, value)
		}
		checkURLs(name, strings.Join(s.Command, " "))
		for dependency := range s.DependsOn {
			if _, ok := p.Services[dependency]; !ok {
				t.Errorf("%s depends on %s, which is no service", name, dependency)
			}
		}
	}
	for _, o := range natsOptions(t, "full") {
		for _, route := range o.Routes {
			check("cluster.conf", route.Host)
		}
		if len(o.Routes) != 3 {
			t.Errorf("cluster.conf has %d routes", len(o.Routes))
		}
	}
	prometheus, grafana := p.Services["prometheus"], p.Services["grafana"]
	for _, target := range targets(t, p.HostPath(&prometheus, "/etc/prometheus/prometheus.yml")) {
		check("prometheus.yml", target)
	}
	checkURLs("grafana", read(t, p.HostPath(&grafana, "/etc/grafana/provisioning/datasources/prometheus.yml")))
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// targets are what Prometheus scrapes; package dashboards decodes the file
// strictly.
func targets(t *testing.T, name string) []string {
	t.Helper()
	var f struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, name)), &f); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range f.ScrapeConfigs {
		for _, c := range s.StaticConfigs {
			out = append(out, c.Targets...)
		}
	}
	if len(out) == 0 {
		t.Error("nothing is scraped")
	}
	return out
}

// Grafana finds its dashboards where the provider looks for them.
func TestGrafana(t *testing.T) {
	p := load(t)
	s := p.Services["grafana"]
	var f struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, p.HostPath(&s, "/etc/grafana/provisioning/dashboards/docket.yml"))), &f); err != nil {
		t.Fatal(err)
	}
	for _, provider := range f.Providers {
		read(t, p.HostPath(&s, provider.Options.Path+"/overview.json"))
	}
	read(t, p.HostPath(&s, *s.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]))
}

// The names under which emitters send are those that NATS lets them send under, and
// the stream is made as strong as they ask for.
func TestEmittersAreWhoTheySay(t *testing.T) {
	p := load(t)
	users := make(map[string]*server.Permissions)
	for _, u := range natsOptions(t, "small")["nats"].Users {
		users[u.Username] = u.Permissions
	}
	applied := map[string]string{"docket": "stream", "docket-gateway": "stream", "docket-full": "stream-full", "docket-gateway-full": "stream-full"}
	for name, file := range ours {
		s := p.Services[name]
		c, err := config.Load(filepath.Join(p.Root, file), compose.Environ(&s), nil)
		if err != nil {
			t.Fatal(err)
		}
		permissions := users[c.NATS.User]
		if permissions == nil || permissions.Publish == nil {
			t.Errorf("%s: NATS knows no user %q with limits; it knows %v", name, c.NATS.User, slices.Sorted(maps.Keys(users)))
			continue
		}
		if want := "docket.activity.*.*.*.*.*." + c.Emitter.Name; !slices.Contains(permissions.Publish.Allow, want) {
			t.Errorf("%s: user %s may not publish to %s", name, c.NATS.User, want)
		}
		if apply := p.Services[applied[name]].Command; !slices.Contains(apply, strconv.Itoa(c.NATS.Replicas)) || !slices.Contains(apply, c.NATS.URL) {
			t.Errorf("%s asks %s for %d replicas, the stream is applied with %v", name, c.NATS.URL, c.NATS.Replicas, apply)
		}
	}
}

// The chain loads with the demo's interceptors in it, and each socket that it
// names is one that a service listens on.
func TestChain(t *testing.T) {
	p := load(t)
	gateway := p.Services["docket-gateway"]
	file := p.HostPath(&gateway, "/etc/docket/gateway.toml")
	if _, err := chainfile.Explain(file, demo.Link(nil)); err != nil {
		t.Fatal(err)
	}
	var sockets []string
	full := p.Services["docket-gateway-full"]
	if p.HostPath(&full, "/etc/docket/gateway.toml") != file {
		t.Error("the gateways of the two profiles have different chains")
	}
	for name, s := range p.Running("docket") {
		if i := slices.Index(s.Command, "--socket"); i >= 0 {
			sockets = append(sockets, s.Command[i+1])
			if p.HostPath(&s, "/demo/chain.toml") != file {
				t.Errorf("%s is made from another chain than the gateway's", name)
			}
		}
	}
	named := regexp.MustCompile(`unix://(/[^"]+)`).FindAllStringSubmatch(read(t, file), -1)
	for _, m := range named {
		if !slices.Contains(sockets, m[1]) {
			t.Errorf("%s: nobody listens on %s", file, m[1])
		}
	}
	if len(named) != len(sockets) {
		t.Errorf("%d sockets, %d of them named in %s", len(sockets), len(named), file)
	}
}
