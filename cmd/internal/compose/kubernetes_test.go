// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/docket-audit/docket/cmd/internal/compose"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

// objects are those of a file.
func objects[T any](t *testing.T, file string) []T {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(read(t, file)))
	var out []T
	for {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, v)
	}
}

// eachOfOurs calls f for each container of Docket's, with its configuration.
func eachOfOurs(t *testing.T, f func(dir string, w *compose.Workload, c *compose.Container, file string, cfg *config.Config)) {
	t.Helper()
	all, err := load(t).Workloads()
	if err != nil || len(all) != 3 {
		t.Fatalf("%d workloads, %v", len(all), err)
	}
	n := 0
	for dir, w := range all {
		for _, c := range w.Spec.Template.Spec.Containers {
			if c.Image != "docket" && c.Image != "docket-gateway" {
				continue
			}
			n++
			i := slices.Index(c.Args, "--config")
			file := filepath.Join(dir, path.Base(c.Args[i+1]))
			kustomization := objects[struct {
				ConfigMapGenerator []struct {
					Name  string
					Files []string
				} `yaml:"configMapGenerator"`
			}](t, filepath.Join(dir, "kustomization.yaml"))[0].ConfigMapGenerator[0]
			if !slices.Contains(kustomization.Files, filepath.Base(file)) || mountOf(w, &c, c.Args[i+1]) != "configmap "+kustomization.Name {
				t.Errorf("%s: %s is on %s", dir, c.Args[i+1], mountOf(w, &c, c.Args[i+1]))
			}
			cfg, err := config.Load(file, w.Environ(&c), nil)
			if err != nil {
				t.Fatal(err)
			}
			f(filepath.Base(dir), w, &c, file, cfg)
		}
	}
	if n != 3 {
		t.Errorf("%d containers of ours, want 3", n)
	}
}

// mountOf says what a container has at an absolute path.
func mountOf(w *compose.Workload, c *compose.Container, name string) string {
	volume, longest := "", 0
	for _, m := range c.VolumeMounts {
		if strings.HasPrefix(name+"/", m.MountPath+"/") && len(m.MountPath) > longest {
			volume, longest = m.Name, len(m.MountPath)
		}
	}
	for _, claim := range w.Spec.VolumeClaimTemplates {
		if volume != "" && claim.Metadata.Name == volume {
			return "claim"
		}
	}
	for _, v := range w.Spec.Template.Spec.Volumes {
		switch {
		case v.Name != volume:
		case v.ConfigMap != nil:
			return "configmap " + v.ConfigMap.Name
		case v.Secret != nil:
			return "secret"
		case v.Claim != nil:
			return "claim"
		case v.EmptyDir != nil:
			return "nothing that stays"
		}
	}
	return "nothing"
}

// What the configuration says is what the pod has: files, ports, and a disk that
// stays for whatever must not be lost.
func TestPodsHaveWhatTheyAreTold(t *testing.T) {
	eachOfOurs(t, func(dir string, w *compose.Workload, c *compose.Container, file string, cfg *config.Config) {
		if got := mountOf(w, c, cfg.NATS.PasswordFile); got != "secret" {
			t.Errorf("%s: the password for NATS is in %s", dir, got)
		}
		if got := mountOf(w, c, cfg.NATS.CA); got != "secret" && !strings.HasPrefix(got, "configmap") {
			t.Errorf("%s: the authority of NATS is in %s", dir, got)
		}
		if cfg.NATS.User != cfg.Emitter.Name || cfg.NATS.User == "" || !strings.HasPrefix(cfg.NATS.URL, "tls://") {
			t.Errorf("%s: emitter %q is user %q at %s", dir, cfg.Emitter.Name, cfg.NATS.User, cfg.NATS.URL)
		}
		data := ""
		if i := slices.Index(c.Args, "--data"); i >= 0 {
			data = c.Args[i+1]
		}
		for _, kv := range w.Environ(c) {
			if v, ok := strings.CutPrefix(kv, "DOCKET_DATA="); ok {
				data = v
			}
		}
		places := []string{data}
		if !cfg.HasGateway {
			places = append(places, cfg.Ledger.Key)
		}
		for _, place := range places {
			if got := mountOf(w, c, place); got != "claim" {
				t.Errorf("%s: %q is on %s", dir, place, got)
			}
		}
		listens := map[string]string{"ops": cfg.Ops.Listen}
		if cfg.HasGateway {
			listens["governed"] = cfg.Gateway.Listen
			if _, err := chainfile.Explain(file); err != nil {
				t.Error(err)
			}
		}
		for _, p := range c.Ports {
			if listens[p.Name] != net.JoinHostPort("0.0.0.0", strconv.Itoa(p.ContainerPort)) {
				t.Errorf("%s: port %s is %d, and it listens at %q", dir, p.Name, p.ContainerPort, listens[p.Name])
			}
			delete(listens, p.Name)
		}
		if len(listens) > 0 {
			t.Errorf("%s: nobody reaches %v", dir, listens)
		}
		// The service in the same pod is not reached but through the gateway.
		if dir == "sidecar" && !strings.HasPrefix(cfg.Gateway.Upstream, "http://127.0.0.1:") {
			t.Errorf("the sidecar's service is at %s", cfg.Gateway.Upstream)
		}
		// One WAL and one name for each process.
		if w.Kind == "Deployment" && (w.Spec.Replicas != 1 || w.Spec.Strategy.Type != "Recreate") {
			t.Errorf("%s: %d replicas, replaced by %s, would want one claim", dir, w.Spec.Replicas, w.Spec.Strategy.Type)
		}
	})
}

// Probes ask the ops listener; nothing runs as root, writes beside its volumes, or
// has a token of the API server.
func TestPodsAreConfined(t *testing.T) {
	eachOfOurs(t, func(dir string, w *compose.Workload, c *compose.Container, _ string, _ *config.Config) {
		for path, probes := range map[string][]*compose.Probe{"/healthz": {c.StartupProbe, c.LivenessProbe}, "/readyz": {c.ReadinessProbe}} {
			for _, p := range probes {
				if p == nil || p.HTTPGet.Path != path || p.HTTPGet.Port != "ops" {
					t.Errorf("%s: probe %+v, want %s of ops", dir, p, path)
				}
			}
		}
		pod := w.Spec.Template.Spec
		if s := pod.SecurityContext; !s.RunAsNonRoot || s.RunAsUser != 65532 || s.FSGroup != 65532 { // nonroot of the images
			t.Errorf("%s: runs as %+v", dir, s)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.TerminationGracePeriodSeconds < 45 {
			t.Errorf("%s: has a token, or no time to stop: %d s", dir, pod.TerminationGracePeriodSeconds)
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s: %s may %+v", dir, c.Name, s)
			}
			if c.Resources.Requests["memory"] == "" || c.Resources.Limits["memory"] == "" {
				t.Errorf("%s: %s has no bounds: %v", dir, c.Name, c.Resources)
			}
		}
	})
}

// A selected is an object that selects pods.
type selected struct {
	Kind string
	Spec struct {
		Selector    yaml.Node
		PodSelector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		Ports   []struct{ TargetPort string } `yaml:"ports"`
		Ingress []struct {
			From  []map[string]any
			Ports []struct{ Port int }
		}
		Egress []struct {
			To    []map[string]any
			Ports []struct{ Port int }
		}
	}
}

// Services, budgets and policies are about the pods that there are; what the
// configuration talks to may be talked to, and ops is for who watches.
func TestPodsAreSelected(t *testing.T) {
	root := load(t).Root
	eachOfOurs(t, func(dir string, w *compose.Workload, _ *compose.Container, file string, cfg *config.Config) {
		labels := w.Spec.Template.Metadata.Labels
		if !maps.Equal(labels, w.Spec.Selector.MatchLabels) || labels["app.kubernetes.io/part-of"] != "docket" {
			t.Errorf("%s: pods are labelled %v and selected by %v", dir, labels, w.Spec.Selector.MatchLabels)
		}
		at := filepath.Join(root, "deploy", "kubernetes", "overlays", dir)
		for _, name := range []string{"service.yaml", "poddisruptionbudget.yaml", "networkpolicy.yaml"} {
			for _, o := range objects[selected](t, filepath.Join(at, name)) {
				got := o.Spec.PodSelector.MatchLabels
				if o.Kind != "NetworkPolicy" {
					var s struct {
						MatchLabels map[string]string `yaml:"matchLabels"`
						Rest        map[string]string `yaml:",inline"`
					}
					if err := o.Spec.Selector.Decode(&s); err != nil {
						t.Fatal(err)
					}
					got = s.MatchLabels
					if o.Kind == "Service" {
						got = s.Rest
					}
				}
				if !maps.Equal(got, labels) {
					t.Errorf("%s: %s selects %v", dir, name, got)
				}
			}
		}
		policy := objects[selected](t, filepath.Join(at, "networkpolicy.yaml"))[0]
		var out []int
		for _, rule := range policy.Spec.Egress {
			if len(rule.To) == 0 || len(rule.Ports) == 0 {
				t.Errorf("%s: something may go anywhere", dir)
			}
			for _, p := range rule.Ports {
				out = append(out, p.Port)
			}
		}
		for _, m := range regexp.MustCompile(`://[a-z.-]+\.svc:(\d+)`).FindAllStringSubmatch(read(t, file), -1) {
			if n, err := strconv.Atoi(m[1]); err != nil || !slices.Contains(out, n) {
				t.Errorf("%s: talks to port %s, may talk to %v", dir, m[1], out)
			}
		}
		for _, rule := range policy.Spec.Ingress {
			for _, p := range rule.Ports {
				from, err := yaml.Marshal(rule.From)
				if err != nil {
					t.Fatal(err)
				}
				watcher := bytes.Contains(from, []byte("kubernetes.io/metadata.name: monitoring"))
				if len(rule.From) != 1 || watcher != (p.Port == 9090) || p.Port != 9090 && !cfg.HasGateway {
					t.Errorf("%s: port %d is open to\n%s", dir, p.Port, from)
				}
			}
		}
	})
	// Without a policy of its own a pod speaks to nobody.
	deny := objects[selected](t, filepath.Join(root, "deploy", "kubernetes", "base", "networkpolicy.yaml"))[0]
	if len(deny.Spec.Ingress) != 0 || len(deny.Spec.Egress) != 1 || len(deny.Spec.PodSelector.MatchLabels) != 1 {
		t.Errorf("the base lets in by %d rules, and out by %d", len(deny.Spec.Ingress), len(deny.Spec.Egress))
	}
	if _, err := os.Stat(filepath.Join(root, "deploy", "kubernetes", "README.md")); err != nil {
		t.Error(err)
	}
}
