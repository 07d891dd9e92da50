// SPDX-License-Identifier: Apache-2.0

package main

import (
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
