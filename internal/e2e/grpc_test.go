// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
)

// serve serves an interceptor over a socket until the test ends.
func serve(t *testing.T, i interceptor.Interceptor) (endpoint string) {
	t.Helper()
	sock := filepath.Join(t.TempDir(), "i.sock")
	lis, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		remote.Serve(ctx, lis, i)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return "unix://" + sock
}

// noNo denies sandboxes named "no".
type noNo struct{}

func (noNo) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "names", Bindings: []interceptor.Binding{{
		ID: "no-no", RPCs: []string{"demo.sandbox.v1.Sandboxes/CreateSandbox"}, Phases: []interceptor.Phase{interceptor.Validate},
	}}}, nil
}

func (noNo) Evaluate(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	payload, err := e.Payload.JSON()
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(payload), `"name":"no"`) {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: `nothing may be named "no"`}, nil
	}
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

func hostPort(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return strings.TrimSuffix(rest, "/")
}

// codeName is a code as the wire and the events write it: PERMISSION_DENIED.
func codeName(c codes.Code) string {
	switch c {
	case codes.OK:
		return "OK"
	case codes.Canceled:
		return "CANCELLED"
	}
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
