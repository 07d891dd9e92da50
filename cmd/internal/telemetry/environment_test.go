// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"
	"testing"
)

// The variables ask for traces, or not, or for what cannot be had.
func TestWanted(t *testing.T) {
	const at = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317"
	for _, tc := range []struct {
		name    string
		environ []string
		traces  bool
		problem string
	}{
		{"nothing is said", nil, false, ""},
		{"a collector", []string{at}, true, ""},
		{"one for traces", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://otel.example"}, true, ""},
		{"a socket", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=unix:///run/otel.sock"}, true, ""},
		{"traces go before all signals", []string{at, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=otel.example:4317"}, false, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no http://"},
		{"one for metrics is none for traces", []string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:4317"}, false, ""},
		{"disabled", []string{at, "OTEL_SDK_DISABLED=True"}, false, ""},
		{"not disabled", []string{at, "OTEL_SDK_DISABLED=no"}, true, ""},
		{"exporter none", []string{at, "OTEL_TRACES_EXPORTER=none"}, false, ""},
		{"exporter otlp", []string{at, "OTEL_TRACES_EXPORTER=console, otlp"}, true, ""},
		{"another exporter", []string{at, "OTEL_TRACES_EXPORTER=zipkin"}, false, `OTEL_TRACES_EXPORTER is "zipkin"`},
		{"grpc", []string{at, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, true, ""},
		{"HTTP", []string{at, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, false, `OTEL_EXPORTER_OTLP_PROTOCOL is "http/protobuf"`},
		{"HTTP, but not for traces", []string{at, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc"}, true, ""},
		{"no scheme", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=otel.example:4317"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT is no http://"},
		{"no host", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT is no http://"},
	} {
		got := wanted(traces, environment(tc.environ))
		if got.send != tc.traces || (got.problem == "") != (tc.problem == "") || !strings.HasPrefix(got.problem, tc.problem) {
			t.Errorf("%s: %+v, want traces %v and problem %q", tc.name, got, tc.traces, tc.problem)
		}
	}
}

// Metrics are asked for like traces; that they are at /metrics is no problem.
func TestMetricsWanted(t *testing.T) {
	const at = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317"
	for _, tc := range []struct {
		environ []string
		send    bool
		problem string
	}{
		{nil, false, ""},
		{[]string{at}, true, ""},
		{[]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:4317"}, true, ""},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4317"}, false, ""},
		{[]string{at, "OTEL_METRICS_EXPORTER=prometheus"}, false, ""},
		{[]string{at, "OTEL_METRICS_EXPORTER=prometheus,otlp"}, true, ""},
		{[]string{at, "OTEL_METRICS_EXPORTER=none"}, false, ""},
		{[]string{at, "OTEL_METRICS_EXPORTER=console"}, false, `OTEL_METRICS_EXPORTER is "console"`},
		{[]string{at, "OTEL_SDK_DISABLED=true"}, false, ""},
		{[]string{at, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json"}, false, `OTEL_EXPORTER_OTLP_METRICS_PROTOCOL is "http/json"`},
		{[]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=127.0.0.1:4317"}, false, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is no http://"},
	} {
		got := wanted(metrics, environment(tc.environ))
		if got.send != tc.send || (got.problem == "") != (tc.problem == "") || !strings.HasPrefix(got.problem, tc.problem) {
			t.Errorf("%v: %+v, want %v and problem %q", tc.environ, got, tc.send, tc.problem)
		}
	}
}

func environment(environ []string) func(string) string {
	values := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}
