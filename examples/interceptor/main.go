// SPDX-License-Identifier: Apache-2.0

// Command interceptor serves an interceptor that wants images by digest:
//
//	go run ./examples/interceptor unix:///tmp/digests.sock
//
// This table in a chain.toml plugs it in:
//
//	[[interceptors]]
//	name = "digests"
//	grpc_endpoint = "unix:///tmp/digests.sock"
//	binding_policy = "dynamic" # all that it declares: every method
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
)

func byDigest(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	image, found := e.Payload.Lookup("/sandbox/spec/image")
	if name, _ := image.(string); found && !strings.Contains(name, "@sha256:") {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "name the image by digest"}, nil
	}
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: interceptor ENDPOINT, such as unix:///tmp/digests.sock or http://127.0.0.1:50061")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := remote.ListenAndServe(ctx, os.Args[1], interceptor.Func(byDigest)); err != nil {
		log.Fatal(err)
	}
}
