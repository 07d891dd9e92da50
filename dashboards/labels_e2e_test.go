// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package dashboards

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// theirs are the labels that Prometheus adds.
var theirs = []string{"le", "instance", "job"}

// The labels by which dashboards and rules select and group are those of the
// running product: scraped, as Prometheus would, while the demo runs.
func TestEveryLabelIsReal(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "docket")
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/docket").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	up := exec.Command(bin, "up", "--demo", "--for", "20s", "--data", filepath.Join(dir, "data"))
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()

	// Every second until it stops: the more has happened, the more there is.
	var families map[string]*dto.MetricFamily
	for running := true; running; {
		select {
		case err := <-ended:
			running = false
			if err != nil {
				t.Errorf("docket up: %v", err)
			}
		case <-time.After(time.Second):
			if scraped := scrape(filepath.Join(dir, "data", "run.json")); scraped != nil {
				families = scraped
			}
		}
	}
	seen := 0
	for _, u := range used(t) {
		f := families[strings.TrimSuffix(u.metric, "_bucket")]
		if f == nil {
			continue // nothing of the kind happened
		}
		seen++
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
		}
		for _, l := range u.labels {
			if !slices.Contains(labels, l) && !slices.Contains(theirs, l) {
				t.Errorf("%s: %s has no label %s, it has %v", u.where, u.metric, l, slices.Compact(slices.Sorted(slices.Values(labels))))
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d of %d uses could be looked at", seen, len(used(t)))
	}
}

// scrape reads /metrics of the process that run.json tells of; nil when it
// does not answer, as before it started and after it stopped.
func scrape(run string) map[string]*dto.MetricFamily {
	data, err := os.ReadFile(run)
	if err != nil {
		return nil
	}
	var r struct {
		Addresses struct {
			Ops string `json:"ops"`
		} `json:"addresses"`
	}
	if json.Unmarshal(data, &r) != nil || r.Addresses.Ops == "" {
		return nil
	}
	resp, err := http.Get(r.Addresses.Ops + "/metrics")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil
	}
	return families
}
