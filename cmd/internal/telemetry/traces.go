// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The values of [telemetry] traces.
const (
	TracesOTLP = "otlp"
	TracesNone = "none"
)

// flushLimit bounds how long a stop waits for spans to be taken. Spans are a
// convenience: what has to survive is in the WAL.
const flushLimit = 2 * time.Second

// Traces is where spans are made and sent on. A nil Traces makes none.
type Traces struct {
	provider *sdktrace.TracerProvider
	exporter *exporter
	limit    time.Duration // of the flush
}

// NewTraces returns what sends spans to the collector that the standard OTEL_
// variables name, as the service and the instance that they do not name
// otherwise; nil when mode is [TracesNone] or no collector is named. It does not
// wait for the collector: one that is away costs spans and nothing else.
//
// What the variables ask for and cannot be had is said in the log, and there are
// no traces. It is no error: a cluster may have set them for all that runs in
// it, and a gateway has to govern calls whatever watches it.
func NewTraces(ctx context.Context, mode, service, instance string, log *slog.Logger) (*Traces, error) {
	log = log.With("component", "telemetry")
	w := wanted(traces, os.Getenv)
	if mode == TracesNone || !w.send {
		if mode != TracesNone && w.problem != "" {
			log.Warn("there will be no traces", "reason", w.problem)
		}
		return nil, nil
	}
	next, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	x := &exporter{next: next, log: log}
	described := describe(ctx, service, instance, log)
	// The sampler, the limits of spans and of the queue are those of the
	// variables; the SDK reads them. A queue that is full drops spans.
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(x), sdktrace.WithResource(described))
	return &Traces{provider: provider, exporter: x, limit: flushLimit}, nil
}

// Provider is what tracers come from; nil when there are no traces.
func (t *Traces) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Close sends what is left, for two seconds at most, and ends the connection.
// Spans that nobody took by then are lost, which the log says and is no error.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	stop := context.AfterFunc(bounded, t.exporter.giveUp)
	defer stop()
	// Not bounded itself: it would return then and leave its goroutines behind.
	// What it waits for is the exporter, which gives up in time.
	err := t.provider.Shutdown(context.WithoutCancel(ctx))
	if err != nil {
		err = fmt.Errorf("close traces: %w", err)
	}
	return err
}
