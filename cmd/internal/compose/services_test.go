// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/docket-audit/docket/cmd/internal/compose"
	"github.com/docket-audit/docket/cmd/internal/devsecrets"
)

// Each profile is whole by itself, and a plain `docker compose up` is small.
func TestProfiles(t *testing.T) {
	for profile, want := range map[string][]string{
		"small":   {"client", "docket", "docket-gateway", "images", "naming", "nats", "service", "stream"},
		"full":    {"clickhouse", "client", "docket-full", "docket-gateway-full", "grafana", "images", "naming", "nats-1", "nats-2", "nats-3", "otel", "prometheus", "service", "stream-full"},
		"secrets": {"secrets"},
	} {
		p, err := compose.Load(t.Context(), ".", profile)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", profile, got, want)
		}
		taken := map[string]string{}
		for name, s := range p.Services {
			for dependency, d := range s.DependsOn {
				other, ok := p.Services[dependency]
				switch {
				case !ok && d.Required:
					t.Errorf("%s: %s waits for %s, which is not of it", profile, name, dependency)
				case ok && d.Condition == "service_healthy" && other.HealthCheck == nil:
					t.Errorf("%s waits until %s is healthy, which nobody checks", name, dependency)
				}
			}
			for _, port := range s.Ports {
				if taken[port.Published] != "" {
					t.Errorf("%s: %s and %s publish port %s", profile, name, taken[port.Published], port.Published)
				}
				taken[port.Published] = name
			}
		}
	}
	plain, err := compose.Load(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	small, err := compose.Load(t.Context(), ".", "small")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := plain.ServiceNames(), small.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("without a profile there are %v, want %v", got, want)
	}
}

// Images of others have a version that stands still.
func TestImagesArePinned(t *testing.T) {
	p := load(t)
	images := []string{}
	for _, s := range p.Services {
		if s.Build == nil {
			images = append(images, s.Image)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+/\S+/\S+|otel/\S+|golang:\S+)`).FindAllStringSubmatch(read(t, filepath.Join(p.Root, "Dockerfile")), -1) {
		if !strings.HasPrefix(m[1], "gcr.io/distroless/") && !strings.HasPrefix(m[1], "golang:") { // which are mended without a new name
			images = append(images, m[1])
		}
	}
	if len(images) < 7 {
		t.Errorf("only %v", images)
	}
	for _, image := range images {
		if !regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+\.\d+(\.\d+)?(-[a-z]+)?$`).MatchString(image) {
			t.Errorf("%s names no version", image)
		}
	}
}

// askedBy are the programs that the images have to ask by: the two of ours, and
// the wget of busybox, or Debian's in the image of ClickHouse, whose own entrypoint
// asks by it.
var askedBy = map[string]string{
	"docket": "/usr/local/bin/docket", "docket-gateway": "/usr/local/bin/docket-gateway", "docket-otel": "/usr/local/bin/docket-gateway",
	"nats": "wget", "clickhouse-server": "wget", "prometheus": "wget", "grafana": "wget",
}

// Whatever stays has a health check, by a program that its image has, at a port
// that it listens on; what does not stay has an end that others wait for.
func TestHealthChecks(t *testing.T) {
	p := load(t)
	open := listens(t, p)
	inside := map[string][]int{"otel": {13133}}
	for _, name := range []string{"nats", "nats-1", "nats-2", "nats-3"} {
		inside[name] = []int{8222}
	}
	for name, s := range p.Services {
		switch {
		case name == "client", name == "secrets": // nobody asks them anything; the second ends
			continue
		case s.Restart == "on-failure":
			if s.HealthCheck != nil {
				t.Errorf("%s ends: what is to be healthy?", name)
			}
			continue
		case s.HealthCheck == nil:
			t.Errorf("%s has no health check", name)
			continue
		}
		test := s.HealthCheck.Test
		if len(test) < 3 || test[0] != "CMD" || test[1] != askedBy[program(s.Image)] {
			t.Errorf("%s: %v is not how its image asks", name, test)
			continue
		}
		u, err := url.Parse(test[len(test)-1])
		if err != nil {
			t.Fatal(err)
		}
		if u.Scheme == "unix" {
			if !slices.Contains(s.Command, u.Path) {
				t.Errorf("%s listens elsewhere than at %s", name, u.Path)
			}
			continue
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil || u.Hostname() != "127.0.0.1" || !slices.Contains(append(inside[name], open[name]...), port) {
			t.Errorf("%s is asked at %s and listens on %v", name, u.Host, open[name])
		}
	}
}

// Passwords and keys are in files: each that is made is a secret, each secret is
// made, each service has those that its files and its command line name, and no
// password is anywhere else.
func TestSecrets(t *testing.T) {
	p := load(t)
	made, err := devsecrets.Make(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range made {
		names = append(names, f.Name)
	}
	for name, s := range p.Secrets {
		if filepath.Dir(s.File) != filepath.Join(p.Root, "deploy", "secrets") || filepath.Base(s.File) != name || !slices.Contains(names, name) {
			t.Errorf("secret %s: nobody makes %s", name, s.File)
		}
	}
	outside := []string{"nats_acme", "nats_globex"} // for whoever follows from outside
	for _, name := range names {
		if _, ok := p.Secrets[name]; !ok && !slices.Contains(outside, name) {
			t.Errorf("%s is made, and no secret", name)
		}
	}
	used := map[string]bool{}
	for name, s := range p.Services {
		text := strings.Join(append(s.Command, compose.Environ(&s)...), "\n")
		for _, v := range s.Volumes {
			if v.Type == "bind" && name != "secrets" {
				text += contents(t, v.Source)
			}
		}
		for _, secret := range s.Secrets {
			used[secret.Source] = true
			if target := compose.SecretTarget(&secret); strings.HasPrefix(target, "/run/secrets/") && !strings.Contains(text, target[1:]) {
				t.Errorf("%s is given %s and does not name it", name, secret.Source)
			}
		}
		for _, m := range regexp.MustCompile(`/?run/secrets/[A-Za-z0-9._-]+`).FindAllString(text, -1) {
			demo := strings.Contains(m, "nats_") && slices.Contains(s.Command, "demo") // reads the chain of the gateway's file alone
			if p.HostPath(&s, "/"+strings.TrimPrefix(m, "/")) == "" && !demo && !strings.Contains(m, "_server") && !strings.HasSuffix(m, "nats_ca.pem") {
				t.Errorf("%s names %s and is not given it", name, m)
			}
		}
		for key, value := range s.Environment {
			if regexp.MustCompile(`(?i)password|secret|token`).MatchString(key) && (value == nil || !strings.HasPrefix(strings.TrimPrefix(*value, "$__file{"), "/run/secrets/")) {
				t.Errorf("%s: %s is not by file", name, key)
			}
			if value != nil && regexp.MustCompile(`://[^/@]*:[^/]*@`).MatchString(*value) {
				t.Errorf("%s: %s has a password in it", name, key)
			}
		}
	}
	for name := range p.Secrets {
		if !used[name] {
			t.Errorf("no service has secret %s", name)
		}
	}
	// A file there is never one of the repository.
	out, err := exec.Command("git", "-C", p.Root, "check-ignore", "deploy/secrets/nats_gateway").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "deploy/secrets/nats_gateway" {
		t.Errorf("git does not ignore deploy/secrets: %v, %s", err, out)
	}
	if !slices.Contains(strings.Split(read(t, filepath.Join(p.Root, ".dockerignore")), "\n"), "deploy/secrets") {
		t.Error("deploy/secrets goes into the images' build")
	}
}

// contents are those of a file, or of all below a directory.
func contents(t *testing.T, name string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(name, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text.WriteString(read(t, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// otel is the part of the OpenTelemetry collector's configuration that is used:
// a key beside these is a mistake. They are those of the components' own
// documentation, by hand: the collector is not in this build.
type otel struct {
	Extensions struct {
		HealthCheck struct{ Endpoint string } `yaml:"health_check"`
	}
	Receivers struct {
		OTLP struct {
			Protocols struct {
				GRPC struct{ Endpoint string }
			}
		}
	}
	Processors struct {
		MemoryLimiter struct {
			CheckInterval string `yaml:"check_interval"`
			LimitMiB      int    `yaml:"limit_mib"`
			SpikeLimitMiB int    `yaml:"spike_limit_mib"`
		} `yaml:"memory_limiter"`
		Batch struct{}
	}
	Exporters struct {
		Debug struct{ Verbosity string }
	}
	Service struct {
		Extensions []string
		Pipelines  struct {
			Traces struct{ Receivers, Processors, Exporters []string }
		}
	}
}

func otelConfig(t *testing.T, p *compose.Project) otel {
	t.Helper()
	s := p.Services["otel"]
	_, file, _ := strings.Cut(s.Command[0], "--config=")
	var c otel
	dec := yaml.NewDecoder(strings.NewReader(read(t, p.HostPath(&s, file))))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func otelPorts(t *testing.T, p *compose.Project) []int {
	t.Helper()
	host, port, err := net.SplitHostPort(otelConfig(t, p).Receivers.OTLP.Protocols.GRPC.Endpoint)
	n, aerr := strconv.Atoi(port)
	if err != nil || aerr != nil || host != "0.0.0.0" {
		t.Errorf("the OpenTelemetry collector listens at %s:%s: %v, %v", host, port, err, aerr)
	}
	return []int{n}
}

func TestOpenTelemetryCollector(t *testing.T) {
	c := otelConfig(t, load(t))
	traces := c.Service.Pipelines.Traces
	for _, tc := range []struct {
		what string
		got  []string
		want []string
	}{
		{"extensions", c.Service.Extensions, []string{"health_check"}},
		{"receivers", traces.Receivers, []string{"otlp"}},
		{"processors", traces.Processors, []string{"memory_limiter", "batch"}}, // in this order
		{"exporters", traces.Exporters, []string{"debug"}},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s %v, want what is configured: %v", tc.what, tc.got, tc.want)
		}
	}
	if every, err := time.ParseDuration(c.Processors.MemoryLimiter.CheckInterval); err != nil || every <= 0 || c.Processors.MemoryLimiter.LimitMiB <= c.Processors.MemoryLimiter.SpikeLimitMiB {
		t.Errorf("memory_limiter %+v: %v", c.Processors.MemoryLimiter, err)
	}
	if !slices.Contains([]string{"basic", "normal", "detailed"}, c.Exporters.Debug.Verbosity) {
		t.Errorf("verbosity %q", c.Exporters.Debug.Verbosity)
	}
}

// Both files of ClickHouse are XML with the root that it wants, the place where it
// looks for more of the kind.
func TestClickHouse(t *testing.T) {
	m := newMachine(t, "full")
	s := m.Services["clickhouse"]
	for _, name := range []string{"/etc/clickhouse-server/config.d/docket.xml", "/etc/clickhouse-server/users.d/docket.xml"} {
		dec := xml.NewDecoder(strings.NewReader(read(t, m.path(&s, name))))
		root := ""
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if start, ok := token.(xml.StartElement); ok && root == "" {
				root = start.Name.Local
			}
		}
		if root != "clickhouse" {
			t.Errorf("%s begins with <%s>", name, root)
		}
	}
}
