// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/otlptest"
)

func count(t *testing.T, m *Metrics, n int64) {
	t.Helper()
	counter, err := m.Provider.Meter("test").Int64Counter("docket.test.things")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), n)
}

func scraped(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What was counted is with the collector when Close returns, and at /metrics.
func TestMetricsArriveAtTheEnd(t *testing.T) {
	quiet(t)
	c := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000") // by itself it would send nothing
	j := &journal{}
	m, err := NewMetrics(t.Context(), "docket-gateway", "edge-7", j.log())
	if err != nil {
		t.Fatal(err)
	}
	count(t, m, 2)
	count(t, m, 3)
	if !strings.Contains(scraped(t, m), "docket_test_things_total 5") {
		t.Error("they are not at /metrics")
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	counters, sender := c.Counters()
	if counters["docket.test.things"] != 5 || sender["service.name"] != "docket-gateway" || sender["service.instance.id"] != "edge-7" || j.String() != "" {
		t.Errorf("%v of %v arrived; the log says %q", counters, sender, j)
	}
}

// A collector that refuses, or takes the connection and says nothing, costs
// nothing but a line in the log.
func TestMetricsCollectorIsAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, at := range map[string]string{"refuses": "http://127.0.0.1:1", "is silent": "http://" + silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			quiet(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", at)
			t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
			t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "10")
			j := &journal{}
			m, err := NewMetrics(t.Context(), "docket", "edge-7", j.log())
			if err != nil {
				t.Fatal(err)
			}
			count(t, m, 5)
			if !strings.Contains(scraped(t, m), "docket_test_things_total 5") {
				t.Error("they are not at /metrics")
			}
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if n := strings.Count(j.String(), "metrics cannot be sent"); n != 1 {
				t.Errorf("told %d times: %s", n, j)
			}
		})
	}
}

// Nobody asks for OTLP, or for what cannot be had: the metrics are at /metrics.
func TestMetricsOfPrometheusAlone(t *testing.T) {
	for endpoint, problem := range map[string]string{"": "", "127.0.0.1:4317": "metrics are at /metrics only"} {
		quiet(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
		j := &journal{}
		m, err := NewMetrics(t.Context(), "docket", "", j.log())
		if err != nil {
			t.Fatal(err)
		}
		count(t, m, 1)
		if !strings.Contains(scraped(t, m), "docket_test_things_total 1") || (j.String() == "") != (problem == "") || !strings.Contains(j.String(), problem) {
			t.Errorf("%q: the log says %q", endpoint, j)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
