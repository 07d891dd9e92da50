// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

type metrics struct {
	subscribers  metric.Int64UpDownCounter
	live, stored metric.Int64Counter
	missed       metric.Int64Counter
}

func newMetrics(p metric.MeterProvider) (*metrics, error) {
	m := p.Meter("github.com/docket-audit/docket/collector/follow")
	subscribers, err1 := m.Int64UpDownCounter("docket_follow_subscribers", metric.WithDescription("Subscribers that follow events now."))
	live, err2 := m.Int64Counter("docket_follow_live_events", metric.WithDescription("Events that were shown before they were stored."))
	stored, err3 := m.Int64Counter("docket_follow_stored_events", metric.WithDescription("Events that were shown when they were stored."))
	missed, err4 := m.Int64Counter("docket_follow_missed_events", metric.WithDescription("Events that subscribers were told they missed, for each of them."))
	return &metrics{subscribers, live, stored, missed}, errors.Join(err1, err2, err3, err4)
}
