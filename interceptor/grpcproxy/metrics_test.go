// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// durations is a meter provider that keeps what its histograms record.
type durations struct {
	noop.MeterProvider
	recorded chan float64
}

func (d *durations) Meter(string, ...metric.MeterOption) metric.Meter { return durationMeter{d: d} }

type durationMeter struct {
	noop.Meter
	d *durations
}

func (m durationMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return durationHistogram{d: m.d}, nil
}

type durationHistogram struct {
	embedded.Float64Histogram
	d *durations
}

func (h durationHistogram) Record(_ context.Context, v float64, _ ...metric.RecordOption) {
	h.d.recorded <- v
}
func (durationHistogram) Enabled(context.Context) bool { return true }

// The time that the service takes is measured, whether it succeeds or not; of a
// call that it does not get there is none.
func TestUpstreamDuration(t *testing.T) {
	var clock atomic.Int64
	u := newUpstream(t, "", nil)
	u.script(create, func(ss grpc.ServerStream) error {
		var f frame
		if err := ss.RecvMsg(&f); err != nil {
			return err
		}
		if clock.Add(int64(2*time.Second)) == int64(4*time.Second) {
			return status.Error(codes.NotFound, "none")
		}
		return send(ss, nil)
	})
	denies := false
	chain := newChain(t, nil, nil, bind(create, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		if denies {
			return &interceptor.Result{Decision: interceptor.Deny}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}))
	d := &durations{recorded: make(chan float64, 10)}
	_, conn := serveProxy(t, u, Config{
		Chain: chain, Descriptors: descriptorSet(t), Meter: d,
		Now: func() time.Time { return time.Unix(0, clock.Load()) },
	})
	var got []string
	for range 3 {
		_, _, _, err := unary(t.Context(), conn, create, request(t))
		got = append(got, status.Code(err).String())
		denies = len(got) == 2
	}
	if diff := cmp.Diff([]string{"OK", "NotFound", "PermissionDenied"}, got); diff != "" {
		t.Error(diff)
	}
	close(d.recorded)
	var took []float64
	for v := range d.recorded {
		took = append(took, v)
	}
	if diff := cmp.Diff([]float64{2, 2}, took); diff != "" {
		t.Errorf("seconds (-want +got):\n%s", diff)
	}
}
