// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Dial connects to an upstream at "host:port", "http://host:port",
// "https://host:port" or "unix:///path". It does not wait for the upstream to
// be there: calls answer UNAVAILABLE until it is, and it is tried again every
// two seconds at least.
func Dial(upstream string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	target := upstream
	switch scheme, rest, ok := strings.Cut(upstream, "://"); {
	case !ok, scheme == "unix":
	case scheme == "http":
		target = strings.TrimSuffix(rest, "/")
	case scheme == "https":
		target, creds = strings.TrimSuffix(rest, "/"), credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	default:
		return nil, fmt.Errorf("connect to upstream %q: use host:port, http://, https:// or unix://", upstream)
	}
	if target == "" || strings.HasSuffix(target, "/") {
		return nil, fmt.Errorf("connect to upstream %q: no host and port, or path, in it", upstream)
	}
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, 2*time.Second
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDisableRetry(), // each call reaches the service at most once
		grpc.WithNoProxy(),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to upstream %q: %w", upstream, err)
	}
	return conn, nil
}
