// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// The counter of plans is the number of events about them.
func TestPlansAreCounted(t *testing.T) {
	h, j, reader := &heard{got: map[string]string{}}, &journal{}, metric.NewManualReader()
	text := serveTraced(t, h)
	runTraced(t, j, text, metric.NewMeterProvider(metric.WithReader(reader)), nil, func(p *Path, c sandboxv1.SandboxesClient) {
		// Answered: the first plan is in force.
		if _, err := c.CreateSandbox(t.Context(), &sandboxv1.CreateSandboxRequest{}); err != nil {
			t.Error(err)
		}
		for _, text := range []string{text + "[audit]\nmode = \"durable\"\n", "[gateway"} {
			if err := os.WriteFile(p.cfg.File, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Reload(t.Context()); (err != nil) != (text == "[gateway") {
				t.Error(err)
			}
		}
	})
	want := j.plans(t)
	if diff := cmp.Diff(map[string]int64{"activated": 2, "rejected": 1}, want); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "docket_chain_plans" {
				continue
			}
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				result, _ := point.Attributes.Value("result")
				got[result.AsString()] = point.Value
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-events +counters):\n%s", diff)
	}
}

// plans counts the events about plans, by what they say.
func (j *journal) plans(t *testing.T) map[string]int64 {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	n := map[string]int64{}
	for _, raw := range j.events {
		var e struct {
			Entity struct {
				Name string `json:"name"`
			} `json:"entity"`
			Unmapped struct {
				Docket struct {
					Rejected any `json:"rejected"`
				} `json:"docket"`
			} `json:"unmapped"`
		}
		if err := json.Unmarshal([]byte(raw), &e); err != nil {
			t.Fatal(err)
		}
		if e.Entity.Name == "plan" {
			n["activated"]++
		}
		if e.Unmapped.Docket.Rejected != nil {
			n["rejected"]++
		}
	}
	return n
}
