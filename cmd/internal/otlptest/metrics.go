// SPDX-License-Identifier: Apache-2.0

package otlptest

import (
	"context"
	"maps"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
)

// metricsService is the service of OTLP that takes metrics.
type metricsService struct {
	collector.UnimplementedMetricsServiceServer
	of *Collector
}

// Export implements the service of OTLP.
func (s *metricsService) Export(_ context.Context, r *collector.ExportMetricsServiceRequest) (*collector.ExportMetricsServiceResponse, error) {
	c := s.of
	c.mu.Lock()
	defer c.mu.Unlock()
	now := map[string]int64{}
	for _, of := range r.GetResourceMetrics() {
		c.sender = texts(of.GetResource().GetAttributes())
		for _, by := range of.GetScopeMetrics() {
			for _, m := range by.GetMetrics() {
				for _, point := range m.GetSum().GetDataPoints() {
					now[m.GetName()] += point.GetAsInt()
				}
			}
		}
	}
	c.counters = now
	return &collector.ExportMetricsServiceResponse{}, nil
}

// Counters returns the counters of whole numbers as they were sent last, each
// summed over its attributes, and the resource that sent them.
func (c *Collector) Counters() (counters map[string]int64, resource map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counters), maps.Clone(c.sender)
}
