// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/authz/tlsfiles"
)

// callers is by what those who ask are known: what [api] and [auth] say, and what lies
// in the data directory. The secret is the one in DIR/keys/api.token.
func callers(cfg *config.Config, data, secret string, log *slog.Logger) authz.Config {
	c := authz.Config{
		HS256: cfg.Auth.HS256Keys, OwnHS256: datadir.TokensKey(data), JWKS: cfg.Auth.JWKS,
		Audience: cfg.Auth.Audience, Issuer: cfg.Auth.Issuer, Leeway: time.Duration(cfg.Auth.Leeway),
		Secret: secret, ClientCA: cfg.API.ClientCA, Log: log.With("component", "authz"),
	}
	for _, one := range cfg.Auth.Certificates {
		known := authz.Certificate{Name: one.Name, Subject: one.Subject, Prefixes: one.Prefixes}
		for _, name := range one.Capabilities {
			known.Capabilities = append(known.Capabilities, authz.Capability(name))
		}
		c.Certificates = append(c.Certificates, known)
	}
	return c
}

// checkDoors refuses what [api] and [auth] could not do, before anything is touched:
// keys that cannot be read, a certificate that clients would not take, a listener in
// the plain beyond this machine.
func checkDoors(cfg *config.Config, data string, log *slog.Logger) (*tlsfiles.Files, error) {
	if _, err := authz.New(callers(cfg, data, "", log)); err != nil {
		return nil, err
	}
	if _, err := authz.NewCORS(cfg.API.CORSOrigins); err != nil {
		return nil, err
	}
	if cfg.API.TLSCert != "" {
		return tlsfiles.Open(tlsfiles.Config{
			Cert: cfg.API.TLSCert, Key: cfg.API.TLSKey, ClientCA: cfg.API.ClientCA, Hostname: cfg.API.Hostname, Log: log.With("component", "tls"),
		})
	}
	// What cannot be resolved is told by who listens.
	if at, err := net.ResolveTCPAddr("tcp", cfg.API.Listen); err == nil && !at.IP.IsLoopback() && !cfg.API.Insecure {
		return nil, inThePlain("api", cfg.API.Listen)
	}
	return nil, nil
}

func inThePlain(door, address string) error {
	return cli.Hint(fmt.Errorf("%s would listen beyond this machine without TLS, at %s", door, address),
		"give [api] tls_cert and tls_key (`docket cert` makes a pair to try it with), or listen on 127.0.0.1; where something in front of it speaks TLS, say [api] insecure = true")
}

// secure returns the listener as it may be served, and its URL.
func (d *daemon) secure(l *datadir.Listener) (net.Listener, string, error) {
	at := l.Addr().(*net.TCPAddr)
	if d.tls != nil {
		host := l.HostPort()
		if name := d.cfg.API.Hostname; name != "" {
			host = net.JoinHostPort(name, strconv.Itoa(at.Port))
		}
		return tls.NewListener(l, d.tls.TLS()), "https://" + host, nil
	}
	if !at.IP.IsLoopback() {
		if !d.cfg.API.Insecure {
			return nil, "", inThePlain("api", at.String())
		}
		d.o.log.Warn("api listens beyond this machine without TLS, as the configuration says: something in front of it must speak it", "address", at)
	}
	return l, "http://" + l.HostPort(), nil
}
