// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"context"
	"crypto/tls"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const subject = "docket.activity.acme.outcome.deny.s.m.gateway"

// A tenant hears what happens to it, from the account that has the stream, and
// neither what happens to others nor anything else; it says nothing at all.
func TestTenantsAreApart(t *testing.T) {
	m := newMachine(t, "small")
	urls := m.startNATS()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m.apply(ctx, urls, 1)

	heard := map[string]*nats.Subscription{}
	for _, tenant := range []string{"acme", "globex"} {
		conn := m.connect(urls, tenant)
		sub, err := conn.SubscribeSync("docket.activity." + tenant + ".>")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.FlushWithContext(ctx); err != nil || conn.LastError() != nil {
			t.Fatalf("%s may not hear what happens to it: %v, %v", tenant, err, conn.LastError())
		}
		heard[tenant] = sub
	}
	gateway := m.connect(urls, "gateway")
	for _, s := range []string{subject, strings.Replace(subject, "acme", "globex", 1)} {
		if err := gateway.Publish(s, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := gateway.FlushWithContext(ctx); err != nil || gateway.LastError() != nil {
		t.Fatalf("the gateway may not send: %v, %v", err, gateway.LastError())
	}
	// What is sent on one connection arrives in order: had a tenant been sent what
	// is another's, it were here.
	for tenant, sub := range heard {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil || !strings.Contains(msg.Subject, "."+tenant+".") {
			t.Errorf("%s hears %v, %v", tenant, msg, err)
		}
		if n, _, err := sub.Pending(); n != 0 || err != nil {
			t.Errorf("%s hears %d more, %v", tenant, n, err)
		}
	}

	for _, tc := range []struct{ user, verb, subject string }{
		{"acme", "hear", "docket.activity.globex.>"},
		{"acme", "hear", "docket.activity.*.>"},
		{"acme", "hear", "docket.>"},
		{"acme", "hear", ">"},
		{"acme", "hear", "docket.control.gateway.holes"},
		{"acme", "hear", "_INBOX.collector.>"},
		{"globex", "hear", "docket.activity.acme.>"},
		{"acme", "say", subject},
		{"acme", "say", strings.Replace(subject, ".gateway", ".acme", 1)},
		{"acme", "say", "docket.control.gateway.holes"},
		{"acme", "say", "$JS.API.STREAM.INFO.DOCKET"},
		{"acme", "say", "$JS.API.INFO"},
		{"gateway", "say", strings.Replace(subject, ".gateway", ".collector", 1)},
		{"gateway", "say", strings.Replace(subject, ".gateway", ".gateway-1", 1)},
		{"gateway", "say", "docket.control.gateway.holes"},
		{"gateway", "say", "$JS.API.STREAM.DELETE.DOCKET"},
		{"gateway", "say", "$JS.API.STREAM.MSG.GET.DOCKET"},
		{"gateway", "say", "$KV.docket_watermarks.x"},
		{"gateway", "hear", "docket.activity.>"},
		{"gateway", "hear", "_INBOX.>"},
		{"gateway", "hear", "_INBOX.collector.>"},
		{"collector", "say", subject},
		{"collector", "say", "$JS.API.STREAM.DELETE.DOCKET"},
		{"collector", "say", "$JS.API.STREAM.UPDATE.DOCKET"},
	} {
		if err := try(ctx, t, m, urls, tc.user, tc.verb, tc.subject); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s may %s %s: %v", tc.user, tc.verb, tc.subject, err)
		}
	}
	for _, tc := range []struct{ user, verb, subject string }{
		{"gateway", "say", subject},
		{"collector", "say", strings.Replace(subject, ".gateway", ".collector", 1)},
		{"operator", "say", "$JS.API.STREAM.INFO.DOCKET"},
	} {
		if err := try(ctx, t, m, urls, tc.user, tc.verb, tc.subject); err != nil {
			t.Errorf("%s may not %s %s: %v", tc.user, tc.verb, tc.subject, err)
		}
	}
}

// try says or listens for one thing on a connection of its own, and returns what
// the server has against it: that comes before its answer to the flush.
func try(ctx context.Context, t *testing.T, m *machine, urls, user, verb, subject string) error {
	t.Helper()
	conn, err := nats.Connect(urls, append(m.as(user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if verb == "say" {
		err = conn.Publish(subject, nil)
	} else {
		_, err = conn.SubscribeSync(subject)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	return conn.LastError()
}

// Nobody gets in without TLS, by another's password, or without one; and nobody
// is taken in by a server of another authority.
func TestDoorsOfNATS(t *testing.T) {
	m := newMachine(t, "small")
	urls := m.startNATS()
	other := newMachine(t, "small")
	ca := nats.RootCAs(filepath.Join(m.secrets, "nats_ca.pem"))
	for name, opts := range map[string][]nats.Option{
		"nobody":           {ca},
		"a wrong password": {ca, nats.UserInfo("gateway", "wrong")},
		"the digest":       {ca, nats.UserInfo("gateway", digest(t, m, "GATEWAY"))},
		"another's":        append(other.as("gateway"), ca),
	} {
		conn, err := nats.Connect(urls, opts...)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
	var unknown *tls.CertificateVerificationError
	if conn, err := nats.Connect(urls, other.as("gateway")...); !errors.As(err, &unknown) {
		t.Errorf("who trusts another authority: %v, %v", conn, err)
	}
	// A client that does not ask for TLS is told that the server does, and uses it: no
	// authority that it has then vouches for the server.
	if conn, err := nats.Connect(strings.ReplaceAll(urls, "tls://", "nats://"), nats.UserInfo("gateway", read(t, filepath.Join(m.secrets, "nats_gateway")))); !errors.As(err, &unknown) {
		t.Errorf("in the plain: %v, %v", conn, err)
	}
}

// digest is what the server knows a password by.
func digest(t *testing.T, m *machine, user string) string {
	t.Helper()
	for line := range strings.Lines(read(t, filepath.Join(m.secrets, "nats_users.conf"))) {
		if rest, ok := strings.CutPrefix(line, user+"_PASSWORD: "); ok {
			return strings.Trim(rest, "\"\n")
		}
	}
	t.Fatalf("the servers do not know %s", user)
	return ""
}
