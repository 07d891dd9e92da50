// SPDX-License-Identifier: Apache-2.0

// Package telemetry is how a command is watched: metrics by OpenTelemetry, in
// Prometheus' form and by OTLP, traces by OTLP, and logs to standard error.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/version"
)

// Logger returns a logger of the given level (debug, info, warn, error) to w.
func Logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, cli.Usage(cli.Hint(fmt.Errorf("unknown log level %q", level), "one of debug, info, warn, error"))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// describe says who sends, for every signal alike.
func describe(ctx context.Context, service, instance string, log *slog.Logger) *resource.Resource {
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version.Number), attribute.String("service.instance.id", instance)),
		resource.WithFromEnv()) // last: what the operator says holds
	if err != nil {
		log.Warn("who sends traces and metrics is described in part only", "error", err)
	}
	return described
}
