// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"testing"

	"google.golang.org/grpc/test/bufconn"
)

// A proxy that is stopped before it came to serve has stopped, and not failed.
func TestServeStoppedAtOnce(t *testing.T) {
	u := newUpstream(t, "", nil)
	p, err := New(Config{Chain: newChain(t, nil, nil), Upstream: dial(t, u.lis)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 {
		if err := p.Serve(ctx, bufconn.Listen(1)); err != nil {
			t.Fatal(err)
		}
	}
}
