// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// An exporter sends spans on, says once when that fails and once when it works
// again, and can be told to give up.
type exporter struct {
	next sdktrace.SpanExporter
	log  *slog.Logger

	mu     sync.Mutex
	cancel context.CancelFunc // guarded by mu; of the export under way, or nil
	over   bool               // guarded by mu; giveUp was called
	lost   int                // guarded by mu; spans since exports began to fail
}

var _ sdktrace.SpanExporter = (*exporter)(nil)

var errGivenUp = errors.New("the process is stopping")

// ExportSpans implements the SDK's exporter. It is called by one goroutine at a
// time. The error goes to the log and not to the SDK, which would write each one
// to standard error.
func (x *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := errGivenUp
	if x.begin(cancel) {
		err = x.next.ExportSpans(ctx, unworded(spans))
	}
	x.ended(err, len(spans))
	return nil
}

// unworded returns the spans without what peers said of their failures: spans
// of calls have a status' message, in which there may be what the operator's
// redactions keep out of the record. The code stays.
func unworded(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	out := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		if out[i] = s; s.InstrumentationScope().Name == otelgrpc.ScopeName && s.Status().Description != "" {
			out[i] = silent{s}
		}
	}
	return out
}

// silent is a span whose status says no more than whether it failed.
type silent struct{ sdktrace.ReadOnlySpan }

// Status implements the SDK's span.
func (s silent) Status() sdktrace.Status { return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code} }

func (x *exporter) begin(cancel context.CancelFunc) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.cancel = cancel
	return true
}

func (x *exporter) ended(err error, spans int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancel = nil
	switch {
	case err != nil:
		if x.lost == 0 {
			x.log.Warn("spans cannot be sent; calls and their record do not depend on it", "error", err)
		}
		x.lost += spans
	case x.lost > 0:
		x.log.Warn("spans are sent again", "lost", x.lost)
		x.lost = 0
	}
}

// giveUp ends the export under way, and lets no other begin.
func (x *exporter) giveUp() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.cancel != nil {
		x.cancel()
	}
}

// Shutdown implements the SDK's exporter.
func (x *exporter) Shutdown(ctx context.Context) error { return x.next.Shutdown(ctx) }
