// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	ruleTests struct {
		RuleFiles          []string `yaml:"rule_files"`
		EvaluationInterval string   `yaml:"evaluation_interval"`
		Tests              []ruleTest
	}
	ruleTest struct {
		Name, Interval string
		InputSeries    []struct{ Series, Values string } `yaml:"input_series"`
		AlertRuleTest  []struct {
			Alertname string
			EvalTime  string `yaml:"eval_time"`
			ExpAlerts []struct {
				ExpLabels      map[string]string `yaml:"exp_labels"`
				ExpAnnotations map[string]string `yaml:"exp_annotations"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
		PromqlExprTest []struct {
			Expr       string
			EvalTime   string `yaml:"eval_time"`
			ExpSamples []struct {
				Labels string
				Value  float64
			} `yaml:"exp_samples"`
		} `yaml:"promql_expr_test"`
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
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			JSONData                     struct {
				TimeInterval                   string `yaml:"timeInterval"`
				Host, Port, Protocol, Username string
				DefaultDatabase                string `yaml:"defaultDatabase"`
			} `yaml:"jsonData"`
			SecureJSONData struct{ Password string } `yaml:"secureJsonData"`
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

// alerts are the names of all of them.
func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				names = append(names, r.Alert)
			}
		}
	}
	return names
}

func tests(t *testing.T) ruleTests { return strict[ruleTests](t, "prometheus/rules_test.yml") }

// Each alert has a case in which it fires and one in which it does not, so that
// promtool fails when its condition goes, or what it waits for.
func TestEachAlertIsTested(t *testing.T) {
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, c := range tests(t).Tests {
		for _, a := range c.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Alertname] = true
				continue
			}
			silent[a.Alertname] = true
			if len(c.InputSeries) == 0 {
				t.Errorf("%s: nothing is there, so that nothing is no wonder", c.Name)
			}
		}
	}
	names := alerts(t)
	for _, name := range names {
		if !fires[name] || !silent[name] {
			t.Errorf("%s: a case in which it fires: %t; one in which it does not: %t", name, fires[name], silent[name])
		}
	}
	for name := range silent {
		if !slices.Contains(names, name) {
			t.Errorf("there is no alert %s, so that it is silent is no wonder", name)
		}
	}
}

// Each alert leads to its section of the page, and each section is of one.
func TestAlertsAreDocumented(t *testing.T) {
	var headings []string
	for line := range strings.Lines(string(read(t, "../docs/alerts.md"))) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			headings = append(headings, strings.TrimSpace(name))
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(alerts(t))), slices.Sorted(slices.Values(headings))); diff != "" {
		t.Errorf("docs/alerts.md lacks (-) or makes up (+):\n%s", diff)
	}
	text := string(read(t, "../docs/alerts.md"))
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			const page = "https://github.com/docket-audit/docket/blob/main/docs/alerts.md#"
			if url := r.Annotations["runbook_url"]; url != page+strings.ToLower(r.Alert) {
				t.Errorf("%s leads to %s", r.Alert, url)
			}
			_, section, _ := strings.Cut(text, "### "+r.Alert+"\n\n")
			severity := strings.ToUpper(r.Labels["severity"][:1]) + r.Labels["severity"][1:]
			if !strings.HasPrefix(section, severity+". ") {
				t.Errorf("%s is %s, and its section does not begin with that", r.Alert, r.Labels["severity"])
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

// The data sources that are provisioned are those that the dashboards choose at
// first, by name and uid. A password is no part of a file; it is named in braces, since
// Grafana does not look for $__file{...} in what it fills in without.
func TestProvisioning(t *testing.T) {
	provisioned := map[string]Current{}
	for _, name := range []string{"prometheus.yml", "clickhouse.yml"} {
		for _, d := range strict[datasourceFile](t, "provisioning/datasources/"+name).Datasources {
			provisioned[d.Type] = Current{d.Name, d.UID}
			if d.Type == prometheus.Type && d.URL == "" || d.Type == clickhouse.Type && d.JSONData.Host == "" {
				t.Errorf("data source %s: nobody knows where it is", d.Name)
			}
			if p := d.SecureJSONData.Password; d.Type == clickhouse.Type && !regexp.MustCompile(`^\$\{\w+\}$`).MatchString(p) {
				t.Errorf("data source %s: the password is not from the environment, or cannot be in a file", d.Name)
			}
		}
	}
	for name, d := range committed(t) {
		for _, v := range d.Templating.List {
			if v.Type == "datasource" && v.Current != provisioned[v.Query] {
				t.Errorf("%s: %s is %+v at first, provisioned is %+v", name, v.Name, v.Current, provisioned[v.Query])
			}
		}
	}
	files, err := os.ReadDir("provisioning/datasources")
	if err != nil || len(files) != len(provisioned) {
		t.Errorf("%d files of data sources, %d kinds (%v)", len(files), len(provisioned), err)
	}
	if p := strict[providerFile](t, "provisioning/dashboards/docket.yml").Providers; len(p) != 1 || p[0].Options.Path == "" {
		t.Errorf("providers = %+v", p)
	}
}
