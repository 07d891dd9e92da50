// SPDX-License-Identifier: Apache-2.0

// Package otlptest is a collector of spans and metrics for tests: a real server
// of OTLP over gRPC that keeps what it is sent.
package otlptest

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"sync"
	"testing"

	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A Span is one that arrived. Ids are in hex, as headers and events have them.
type Span struct {
	Trace, ID, Parent string
	Name, Scope       string
	Kind              tracepb.Span_SpanKind
	Failed            bool   // its status is Error
	Words             string // of its status
	Attributes        map[string]string
	Resource          map[string]string
}

// A Collector keeps the spans and counters that it is sent.
type Collector struct {
	collector.UnimplementedTraceServiceServer
	URL string // where it listens

	mu       sync.Mutex
	spans    []Span            // guarded by mu
	counters map[string]int64  // guarded by mu
	sender   map[string]string // guarded by mu; of the counters
}

// Start returns a collector that runs until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{URL: "http://" + lis.Addr().String()}
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	collector.RegisterTraceServiceServer(server, c)
	metricscollector.RegisterMetricsServiceServer(server, &metricsService{of: c})
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve OTLP: %v", err)
		}
	})
	return c
}

// Export implements the service of OTLP.
func (c *Collector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		resource := texts(of.GetResource().GetAttributes())
		for _, by := range of.GetScopeSpans() {
			for _, s := range by.GetSpans() {
				c.spans = append(c.spans, Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Name: s.GetName(), Scope: by.GetScope().GetName(), Kind: s.GetKind(),
					Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Words: s.GetStatus().GetMessage(),
					Attributes: texts(s.GetAttributes()), Resource: resource,
				})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Spans returns what arrived so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// texts are the attributes whose values are texts.
func texts(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		if v, ok := a.GetValue().GetValue().(*common.AnyValue_StringValue); ok {
			m[a.GetKey()] = v.StringValue
		}
	}
	return m
}
