// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

// quietTessera sends what tessera says to logger. Tessera writes to klog, which
// is one for the whole program and prints to standard error unless told
// otherwise, and must not be told while it is in use. So the logger of the first
// ledger stays; a program has one.
func quietTessera(logger *slog.Logger) {
	tesseraLogger.Do(func() {
		if logger == nil {
			logger = slog.New(slog.DiscardHandler)
		}
		klog.SetSlogLogger(slog.New(debugHandler{logger.With("component", "ledger").Handler()}))
	})
}

var tesseraLogger sync.Once

// debugHandler turns information into debugging: tessera informs about each
// checkpoint and each start.
type debugHandler struct{ slog.Handler }

func (h debugHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, demote(level))
}

func (h debugHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demote(r.Level)
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // a handler passes on what its inner one says
}

func (h debugHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return debugHandler{h.Handler.WithAttrs(attrs)}
}

func (h debugHandler) WithGroup(name string) slog.Handler {
	return debugHandler{h.Handler.WithGroup(name)}
}

func demote(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return min(level, slog.LevelDebug)
	}
	return level
}
