// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/config"
)

// The emitter of a docket-gateway is not called as that of a `docket up` on the
// same host, whose name is the host's: the two sign with different keys.
func TestEmitterName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skipf("LEFT OUT: no host name: %v", err)
	}
	for configured, want := range map[string]string{"": host + "-gateway", "edge-7": "edge-7"} {
		cfg := &config.Config{Emitter: config.Emitter{Name: configured}}
		if err := nameEmitter(cfg); err != nil || cfg.Emitter.Name != want {
			t.Errorf("%q becomes %q, want %q; %v", configured, cfg.Emitter.Name, want, err)
		}
	}
}

// A file with a [gateway] and its interceptors is enough.
func TestBrokerOfThisMachine(t *testing.T) {
	for configured, want := range map[string]string{"": "nats://127.0.0.1:4222", "nats://broker:4333": "nats://broker:4333"} {
		cfg := &config.Config{NATS: config.NATS{URL: configured}}
		nameBroker(cfg, slog.New(slog.DiscardHandler))
		if cfg.NATS.URL != want {
			t.Errorf("%q becomes %q, want %q", configured, cfg.NATS.URL, want)
		}
	}
}
