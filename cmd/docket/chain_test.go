// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/grpcproxy"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// What the proxy gives an operation is what chain check knows that it gives: a
// grant of that is not warned of, and a grant of anything else is.
func TestGrantsOfWhatTheProxyGives(t *testing.T) {
	var seen map[string]string
	look := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		seen = e.Attributes
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{
		{Interceptor: "i", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Attributes: []string{"*"}, Impl: look},
	}}, interceptor.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = chain.Close(context.Background()) }()
	ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}})
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("user-agent", "x", "x-team", "red", "x-other", "y"))
	unary := grpcproxy.Config{Chain: chain, Attributes: []string{"x-team"}}.Unary()
	_, err = unary(ctx, &sandboxv1.GetSandboxRequest{}, &grpc.UnaryServerInfo{FullMethod: "/demo.sandbox.v1.Sandboxes/GetSandbox"},
		func(context.Context, any) (any, error) { return &sandboxv1.GetSandboxResponse{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 5 {
		t.Errorf("seen: %v", seen)
	}
	names := append(slices.Sorted(maps.Keys(seen)), "request.size")
	for _, name := range names {
		file := filepath.Join(t.TempDir(), "chain.toml")
		text := fmt.Sprintf("[gateway]\nunmatched = \"deny\"\nattributes = [\"x-team\"]\n[[interceptors]]\nname = \"i\"\ngrpc_endpoint = \"unix:///i\"\nattributes = [%q]\n", name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := chainfile.Explain(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, given := seen[name]; given != (len(e.Warnings) == 0) {
			t.Errorf("%s: given is %t, warnings %q", name, given, e.Warnings)
		}
	}
}
