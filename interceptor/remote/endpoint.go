// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// MaxMessageBytes bounds a message in either direction. A request of the usual
// 4 MiB may be several times as long as a Struct.
const MaxMessageBytes = 16 << 20

// windowBytes is what a peer may send ahead on a call, and on a connection. A
// window of a fixed size spares each call the pings by which gRPC would measure
// one; this is room for what most calls carry.
const windowBytes = 1 << 20

// An EndpointError says that an endpoint cannot be one.
type EndpointError struct{ Endpoint, Problem string }

// Error implements error.
func (e *EndpointError) Error() string {
	return fmt.Sprintf("read endpoint %q: %s", e.Endpoint, e.Problem)
}

// Hint says what an endpoint looks like.
func (e *EndpointError) Hint() string {
	return "write unix:///absolute/path, http://host:port or https://host:port"
}

// An Option changes how an interceptor is dialled or served.
type Option func(*options)

type options struct {
	tls         *tls.Config
	caCert      string
	cert, key   string // of a client, PEM files
	maxResponse int
	token       *bearer
	verify      *VerifyConfig
	budget      time.Duration
	dial        []grpc.DialOption
	server      []grpc.ServerOption
}

// TLS sets the TLS configuration of an https endpoint, or of a server.
func TLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// CACert names a PEM file with the only authorities that an https endpoint's
// certificate may come from, in place of the platform's. "" changes nothing.
func CACert(path string) Option { return func(o *options) { o.caCert = path } }

// ClientCert names the PEM files of the certificate and the key by which an
// https endpoint knows the client. "" and "" change nothing.
func ClientCert(cert, key string) Option {
	return func(o *options) { o.cert, o.key = cert, key }
}

// DialOptions adds to what gRPC dials with, such as a handler of statistics. What
// is called during calls MUST heed their context: nobody watches over it.
func DialOptions(opts ...grpc.DialOption) Option {
	return func(o *options) { o.dial = append(o.dial, opts...) }
}

// ServerOptions adds to what gRPC serves with.
func ServerOptions(opts ...grpc.ServerOption) Option {
	return func(o *options) { o.server = append(o.server, opts...) }
}

// DefaultBudget is how long a call may take that is served.
const DefaultBudget = 30 * time.Second

// Budget bounds how long an evaluation that is served may take, [DefaultBudget]
// unless told. A caller's own deadline holds if it is earlier; OpenShell's
// gateways do not send theirs.
func Budget(d time.Duration) Option { return func(o *options) { o.budget = d } }

// MaxResponseBytes bounds the answers that a client takes; a longer one is a
// Failure of kind limit, but a deny is a deny up to [MaxMessageBytes], which is
// the default.
func MaxResponseBytes(n int) Option { return func(o *options) { o.maxResponse = n } }

func newOptions(opts []Option) *options {
	o := &options{maxResponse: MaxMessageBytes, budget: DefaultBudget}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// clientTLS returns the configuration that an https endpoint is dialled with.
func (o *options) clientTLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.tls != nil {
		config = o.tls.Clone()
	}
	if o.cert != "" || o.key != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate %q and its key: %w", o.cert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if o.caCert == "" {
		return config, nil
	}
	// Neither error tells what is in the file.
	pem, err := os.ReadFile(o.caCert)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authorities: no certificate in %s", o.caCert)
	}
	return config, nil
}

// A place is a parsed endpoint.
type place struct {
	network, address string // as package net has them
	secure           bool
}

// target is how grpc names the place. It never asks the environment for a proxy.
func (p place) target() string {
	if p.network == "unix" {
		return "unix://" + p.address
	}
	return "dns:///" + p.address
}

func parseEndpoint(endpoint string) (place, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return place{}, &EndpointError{endpoint, "it is no URL"}
	}
	scheme, _, _ := strings.Cut(endpoint, "//") // as it is written: neither unix:/PATH nor UNIX:///PATH
	switch strings.TrimSuffix(scheme, ":") {
	case "unix":
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" || u.Fragment != "" {
			return place{}, &EndpointError{endpoint, "the path of a socket must be absolute"}
		}
		return place{network: "unix", address: u.Path}, nil
	case "http", "https":
		if u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" {
			return place{}, &EndpointError{endpoint, "only a host and a port may follow the scheme"}
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return place{network: "tcp", address: net.JoinHostPort(u.Hostname(), port), secure: u.Scheme == "https"}, nil
	}
	return place{}, &EndpointError{endpoint, "it must use http://, https:// or unix://"}
}

// clearSocket removes a socket that nobody listens on any more, as a process
// leaves behind that was killed. It touches nothing else.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is in use", path), conn.Close())
	}
	return os.Remove(path)
}
