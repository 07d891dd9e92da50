// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/contexts"
	"github.com/docket-audit/docket/cmd/internal/version"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// connectLimit is how long a connection may take, TLS included.
const connectLimit = 10 * time.Second

// Remote returns a client of the server of a context. It connects when it is
// asked something; what is wrong is said then. The client has neither a directory
// nor an owner to act.
func Remote(_ context.Context, c contexts.Context) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &remote{context: c}
	creds, err := r.credentials()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithUserAgent("docket/" + version.Number),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectLimit}),
		// A tail may say nothing for hours; a server that is gone says the same.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	}
	target := "dns:///" + c.Target() // by way of HTTPS_PROXY, if there is one
	if !c.TLS() {
		target = "passthrough:///" + c.Target()
		options = append(options, grpc.WithContextDialer(r.plain))
	}
	if c.Token != "" || c.TokenFile != "" {
		options = append(options, grpc.WithPerRPCCredentials(r))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", r.name(), err)
	}
	again := func(ctx context.Context) (*Client, error) { return Remote(ctx, c) }
	return &Client{Audit: auditv1.NewAuditServiceClient(conn), Server: c.Name, Live: true, remote: r, again: again, close: func() { conn.Close() }}, nil
}

// A remote knows how a server is reached, and why it was not.
type remote struct {
	context contexts.Context

	mu       sync.Mutex // guards what is below
	refused  error      // by the newest handshake
	expires  time.Time  // of the newest token, if it says so
	noBearer error      // why there was no token to send
}

func (r *remote) name() string { return "context " + r.context.Name + " (" + r.context.URL + ")" }

func (r *remote) credentials() (credentials.TransportCredentials, error) {
	c := r.context
	if !c.TLS() {
		return insecure.NewCredentials(), nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		b, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, cli.Hint(fmt.Errorf("read the certificate authority of context %s: %w", c.Name, err), "`docket context show %s` says what it names", c.Name)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(b) {
			return nil, cli.Hint(fmt.Errorf("read the certificate authority of context %s: there is no certificate in %s", c.Name, c.CA), "it holds PEM: -----BEGIN CERTIFICATE-----")
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, cli.Hint(fmt.Errorf("read the certificate of context %s: %w", c.Name, err), "`docket context show %s` says what it names", c.Name)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return &handshakes{TransportCredentials: credentials.NewTLS(cfg), tell: r.shook}, nil
}

// plain connects without TLS. A name that says this machine and leads elsewhere
// is not given a token.
func (r *remote) plain(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || r.context.Insecure && !r.context.Loopback() {
		return conn, err
	}
	return within(conn, address)
}

// within returns a connection that stays within this machine, and closes another.
func within(conn net.Conn, address string) (net.Conn, error) {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("%s is not this machine but %s, and there is no TLS", address, conn.RemoteAddr()), conn.Close())
	}
	return conn, nil
}

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (r *remote) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := r.context.Bearer()
	expires, _ := contexts.Expiry(token) // a token need not say it
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expires, r.noBearer = expires, err
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials]. Without TLS
// nothing is connected to but this machine.
func (r *remote) RequireTransportSecurity() bool { return r.context.TLS() }

func (r *remote) shook(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = err
}

// distrusted reports whether the newest handshake failed for what was shown, which
// another attempt does not better. A server that went away in its midst is none.
func (r *remote) distrusted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var (
		shown  *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  *net.OpError
	)
	return errors.As(r.refused, &shown) || errors.As(r.refused, &record) || errors.As(r.refused, &alert) && alert.Op == "remote error"
}

// handshakes tell what became of the newest: gRPC makes text of it.
type handshakes struct {
	credentials.TransportCredentials

	tell func(error)
}

func (h *handshakes) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	h.tell(err)
	return secure, info, err
}

func (h *handshakes) Clone() credentials.TransportCredentials {
	return &handshakes{TransportCredentials: h.TransportCredentials.Clone(), tell: h.tell}
}

// explain says of an error with this gRPC code what it means, and what to do.
func (r *remote) explain(code string, err error) error {
	r.mu.Lock()
	refused, expires, noBearer := r.refused, r.expires, r.noBearer
	r.mu.Unlock()
	switch {
	case noBearer != nil:
		return noBearer
	case code == "unauthenticated":
		return r.unauthenticated(expires, err)
	case code == "permission_denied":
		return cli.Hint(fmt.Errorf("ask %s: %w", r.name(), err), "the token of this context does not allow it; one that does is for the operator of the server to give")
	case code == "unimplemented":
		return cli.Hint(fmt.Errorf("ask %s: %w", r.name(), err), "is it the [api] address of a docket, and as new as this one (%s)?", version.Number)
	case code != "unavailable":
		return err
	case refused != nil:
		return r.untrusted(refused)
	}
	text := err.Error()
	err = fmt.Errorf("cannot reach %s: %w", r.name(), err)
	switch {
	case strings.Contains(text, "no such host") || strings.Contains(text, "produced zero addresses"):
		return cli.Hint(err, "no server has this name; `docket context show %s`", r.context.Name)
	case strings.Contains(text, "remote error: tls: "): // TLS 1.3 says it behind the handshake
		return cli.Hint(err, wantsCertificate)
	case r.context.TLS() && r.context.Cert == "" && (strings.Contains(text, "broken pipe") || strings.Contains(text, "connection reset")):
		// What is written races with the alert that says why.
		return cli.Hint(err, "the server hung up behind the handshake; if it wants a client's certificate, `docket context add` has --cert FILE --key FILE")
	case strings.Contains(text, "server preface") && !r.context.TLS():
		return cli.Hint(err, "what answers there does not speak gRPC without TLS; does the address begin with https://?")
	}
	return cli.Hint(err, "is the server up, and is this its [api] address? `docket context ls` shows all that you have")
}

func (r *remote) unauthenticated(expires time.Time, err error) error {
	has := r.context.Token != "" || r.context.TokenFile != ""
	wrapped := fmt.Errorf("ask %s: %w", r.name(), err)
	renew := fmt.Sprintf("get a new token, and `docket context add %s --force` with it", r.context.Name)
	if r.context.TokenFile != "" {
		renew = "get a new token, and write it into " + r.context.TokenFile
	}
	switch {
	case !has && r.context.Cert == "":
		return hinted(wrapped, "the context has no token: `docket context add %s --url %s --token-file FILE --force`", r.context.Name, r.context.URL)
	case !expires.IsZero() && time.Now().After(expires):
		return hinted(fmt.Errorf("ask %s: its token has expired at %s", r.name(), expires.UTC().Format(time.RFC3339)), "%s", renew)
	case strings.Contains(err.Error(), "expired"):
		return hinted(wrapped, "%s", renew)
	}
	return hinted(wrapped, "the server knows nobody by what this context has to show; %s", renew)
}

// hinted is err with our advice: that of the server does not know of contexts.
func hinted(err error, format string, args ...any) error {
	return cli.Hint(errors.New(err.Error()), format, args...)
}

const wantsCertificate = "the server wants a client's certificate that it trusts: `docket context add` has --cert FILE --key FILE"

// untrusted says why a handshake failed.
func (r *remote) untrusted(err error) error {
	c := r.context
	wrapped := fmt.Errorf("cannot trust %s: %w", r.name(), err)
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   *net.OpError // as what the other end says of a handshake comes
	)
	switch {
	case errors.As(err, &unknown):
		return cli.Hint(wrapped, "if you know who signed its certificate, name them: `docket context add %s --url %s --ca FILE --force`", c.Name, c.URL)
	case errors.As(err, &host):
		return cli.Hint(wrapped, "the certificate is of another name; use one of those it has")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return cli.Hint(wrapped, "the certificate is not valid now; is this machine's clock right?")
	case errors.As(err, &record):
		return cli.Hint(wrapped, "what answers there does not speak TLS; on this machine its address begins with http://")
	case errors.As(err, &alert) && alert.Op == "remote error":
		return cli.Hint(wrapped, wantsCertificate)
	}
	return cli.Hint(wrapped, "the TLS handshake with the server failed; `docket context show %s` says what is shown to it", c.Name)
}
