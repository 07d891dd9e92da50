// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The parts of Prometheus' and Grafana's formats that we write, decoded with
// unknown fields refused.
type (
	ruleFile struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	rule struct {
		Record, Alert, Expr string
		For                 string
		Labels, Annotations map[string]string
	}
	prometheusFile struct {
		Global struct {
			ScrapeInterval     string `yaml:"scrape_interval"`
			EvaluationInterval string `yaml:"evaluation_interval"`
		}
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	datasourceFile struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, Access, URL string
			IsDefault               bool              `yaml:"isDefault"`
			JSONData                map[string]string `yaml:"jsonData"`
		}
	}
	providerFile struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type     string
			AllowUIUpdates bool `yaml:"allowUiUpdates"`
			Options        struct{ Path string }
		}
	}
)

func strict[T any](t *testing.T, name string) T {
	t.Helper()
	var out T
	dec := yaml.NewDecoder(bytes.NewReader(read(t, name)))
	dec.KnownFields(true)
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func rules(t *testing.T) ruleFile { return strict[ruleFile](t, "prometheus/rules.yml") }

func TestRules(t *testing.T) {
	names := make(map[string]bool)
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			name := r.Record + r.Alert
			if name == "" || r.Record != "" && r.Alert != "" || names[name] || r.Expr == "" {
				t.Errorf("group %s: rule %q wants one name of its own and an expression", g.Name, name)
			}
			names[name] = true
			if r.Alert == "" {
				continue
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", name, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: what does it mean, and what is to be done?", name)
			}
			if r.For != "" {
				if _, err := time.ParseDuration(r.For); err != nil {
					t.Errorf("%s: for: %v", name, err)
				}
			}
		}
	}
}

func TestPrometheusFile(t *testing.T) {
	f := strict[prometheusFile](t, "prometheus/prometheus.yml")
	for _, name := range f.RuleFiles {
		read(t, "prometheus/"+name)
	}
	if len(f.ScrapeConfigs) == 0 {
		t.Error("nothing is scraped")
	}
}

func TestProvisioning(t *testing.T) {
	for _, d := range strict[datasourceFile](t, "provisioning/datasources/prometheus.yml").Datasources {
		if d.Type != prometheus.Type || d.URL == "" {
			t.Errorf("data source %+v is not the kind that the dashboards ask for", d)
		}
	}
	if p := strict[providerFile](t, "provisioning/dashboards/docket.yml").Providers; len(p) != 1 || p[0].Options.Path == "" {
		t.Errorf("providers = %+v", p)
	}
}
