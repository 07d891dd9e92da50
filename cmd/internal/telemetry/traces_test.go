// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc/metadata"

	"github.com/docket-audit/docket/cmd/internal/otlptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) log() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// quiet takes away what the machine that runs the test may say.
func quiet(t *testing.T) {
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
		"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
	} {
		t.Setenv(name, "")
	}
}

func open(t *testing.T, mode string, log *slog.Logger) *Traces {
	t.Helper()
	traces, err := NewTraces(t.Context(), mode, "docket-gateway", "edge-7", log)
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

func spans(traces *Traces, n int) {
	tracer := traces.Provider().Tracer("test")
	for range n {
		_, span := tracer.Start(context.Background(), "an operation")
		span.End()
	}
}

// Nobody is told anything unless a collector is named, and then nothing is made.
func TestNoTraces(t *testing.T) {
	for name, tc := range map[string]struct{ mode, endpoint string }{
		"nobody asks":      {TracesOTLP, ""},
		"the file says no": {TracesNone, "http://127.0.0.1:1"},
		"no endpoint":      {TracesOTLP, "127.0.0.1:4317"},
	} {
		t.Run(name, func(t *testing.T) {
			quiet(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", tc.endpoint)
			j := &journal{}
			traces := open(t, tc.mode, j.log())
			if traces != nil || traces.Provider() != nil || ServerOptions(traces.Provider()) != nil || DialOptions(traces.Provider()) != nil {
				t.Error("there are traces")
			}
			if err := traces.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if told := strings.Contains(j.String(), "there will be no traces"); told != (name == "no endpoint") {
				t.Errorf("the log says %q", j)
			}
		})
	}
}

// Spans are with the collector when Close returns, described as the operator
// wants it.
func TestSpansArriveAtTheEnd(t *testing.T) {
	quiet(t)
	c := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_SERVICE_NAME", "edge")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // by itself it would send nothing
	j := &journal{}
	traces := open(t, TracesOTLP, j.log())
	spans(traces, 3)
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
	got := c.Spans()
	if len(got) != 3 || j.String() != "" {
		t.Fatalf("%d spans arrived; the log says %q", len(got), j)
	}
	r := got[0].Resource
	if r["service.name"] != "edge" || r["service.instance.id"] != "edge-7" || r["deployment.environment.name"] != "prod" || r["service.version"] == "" {
		t.Errorf("described as %v", r)
	}
}

// What a peer says when it fails does not leave the process in a span: nothing
// there is redacted.
func TestNoWordsOfPeers(t *testing.T) {
	quiet(t)
	c := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	traces := open(t, TracesOTLP, slog.New(slog.DiscardHandler))
	for scope, words := range map[string]string{otelgrpc.ScopeName: "no such token: canary", "github.com/docket-audit/docket/interceptor": "timeout"} {
		_, span := traces.Provider().Tracer(scope).Start(t.Context(), "x")
		span.SetStatus(codes.Error, words)
		span.End()
	}
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
	words := map[string]bool{}
	for _, s := range c.Spans() {
		words[s.Words] = s.Failed
	}
	if len(words) != 2 || !words[""] || !words["timeout"] {
		t.Errorf("statuses %v, want a failed one without words, and ours", words)
	}
}

func TestSamplerIsTheEnvironments(t *testing.T) {
	quiet(t)
	c := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	traces := open(t, TracesOTLP, slog.New(slog.DiscardHandler))
	spans(traces, 3)
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(c.Spans()); n != 0 {
		t.Errorf("%d spans were sampled", n)
	}
}

// A collector that is away, or takes calls and never answers, is no reason to
// wait: whoever makes spans is not held up, and Close comes back. The exporter
// itself would try for an hour.
func TestCollectorAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refusing.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "refusing": refusing.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			quiet(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
			t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
			j := &journal{}
			traces := open(t, TracesOTLP, j.log())
			traces.limit = 50 * time.Millisecond
			spans(traces, 10_000) // more than the queue takes, and several batches
			if err := traces.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if n := strings.Count(j.String(), "spans cannot be sent"); n != 1 {
				t.Errorf("it is said %d times: %s", n, j)
			}
		})
	}
}

// fickle fails while it is told to.
type fickle struct{ err error }

func (f *fickle) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return f.err }
func (f *fickle) Shutdown(context.Context) error                             { return nil }

// An outage is said once when it begins and once when it is over.
func TestOutageIsSaidOnce(t *testing.T) {
	j, next := &journal{}, &fickle{}
	x := &exporter{next: next, log: j.log()}
	batch := tracetest.SpanStubs{{Name: "a"}, {Name: "b"}}.Snapshots()
	for _, err := range []error{nil, errors.New("gone"), errors.New("still gone"), nil, nil, errors.New("gone again")} {
		next.err = err
		if err := x.ExportSpans(t.Context(), batch); err != nil {
			t.Error("the SDK is told, who would write it to standard error")
		}
	}
	var said []string
	for line := range strings.Lines(j.String()) {
		_, line, _ = strings.Cut(line, "msg=")
		said = append(said, strings.TrimSpace(line))
	}
	want := []string{
		`"spans cannot be sent; calls and their record do not depend on it" error=gone`, `"spans are sent again" lost=4`,
		`"spans cannot be sent; calls and their record do not depend on it" error="gone again"`,
	}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("said\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// Of two traceparents none is believed.
func TestTraceparentsOfACall(t *testing.T) {
	const one, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tc := range []struct {
		values []string
		want   bool
	}{{nil, false}, {[]string{one}, true}, {[]string{one, other}, false}, {[]string{"00-0af"}, false}} {
		md := metadata.MD{"traceparent": tc.values}
		ctx := traceContext{}.Extract(metadata.NewIncomingContext(t.Context(), md), first(md))
		if got := trace.SpanContextFromContext(ctx).IsValid(); got != tc.want {
			t.Errorf("%v: believed %v, want %v", tc.values, got, tc.want)
		}
	}
}

// first reads metadata as otelgrpc does.
type first metadata.MD

func (f first) Get(key string) string {
	if v := metadata.MD(f).Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}
func (first) Set(string, string) {}
func (first) Keys() []string     { return nil }
