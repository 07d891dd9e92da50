// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// parts are those of the balance: sequenced is the sum of the others.
var parts = [...]string{"sequenced", "stored", "quarantined", "missing", "in_flight"}

// watchBalance has the balance of all epochs told whenever the metrics are read.
// The caller MUST call the function that it returns.
func (c *Collector) watchBalance() (stop func(), err error) {
	var options [len(parts)]metric.ObserveOption
	for i, part := range parts {
		options[i] = metric.WithAttributeSet(attribute.NewSet(attribute.String("part", part)))
	}
	gauge := c.metrics.balance
	r, err := c.cfg.MeterProvider.Meter(meterName).RegisterCallback(func(_ context.Context, o metric.Observer) error {
		var sum [len(parts)]int64
		for _, uid := range c.cfg.Store.Epochs() {
			missing, _ := c.holes.status(uid)
			a := Account(uid, c.cfg.Store.Epoch(uid), missing)
			for i, n := range [...]int64{a.Sequenced, a.Stored, a.Quarantined, a.Missing, a.InFlight} {
				sum[i] += n
			}
		}
		for i, n := range sum {
			o.ObserveInt64(gauge, n, options[i])
		}
		return nil
	}, gauge)
	if err != nil {
		return nil, fmt.Errorf("make collector metrics: %w", err)
	}
	return func() { _ = r.Unregister() }, nil // it is registered
}
