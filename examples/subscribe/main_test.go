// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func message(subject, epoch, sequence string) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: []byte(`{"` + epoch + `":` + sequence + `}`), Header: nats.Header{
		"Docket-Epoch": {epoch}, "Docket-Sequence": {sequence},
	}}
}

func TestSubscribe(t *testing.T) {
	s := natstest.Run(t)
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- subscribe(ctx, s.URL(), "docket.activity.acme.>", in, func() { close(ready) })
		_ = in.Close()
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	nc := s.Conn(t)
	for _, m := range []*nats.Msg{
		message("docket.activity.acme.outcome", "a", "1"), message("docket.activity.beta.outcome", "b", "1"), message("docket.activity.acme.outcome", "a", "2"),
		message("docket.activity.acme.outcome", "a", "1"), message("docket.activity.acme.outcome", "c", "1"),
	} {
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	want := "{\"a\":1}\n{\"a\":2}\n{\"c\":1}\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(out, got); err != nil || string(got) != want {
		t.Errorf("printed %q, %v", got, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("and then %q, %v", rest, err)
	}
}

// What it remembers is bounded, and reaches back far enough.
func TestOnce(t *testing.T) {
	var o once
	const n = 250_000
	for i := range n {
		m := &nats.Msg{Header: nats.Header{"Docket-Epoch": {"a"}, "Docket-Sequence": {time.Duration(i).String()}}}
		if o.had(m) || !o.had(m) {
			t.Fatalf("event %d: not new the first time, or new the second time", i)
		}
	}
	if kept := len(o.now) + len(o.before); kept > 200_000 || kept < 100_000 {
		t.Errorf("%d are kept", kept)
	}
}

// The permissions of examples/nats-permissions.conf let one tenant's subscriber
// have its tenant's events, live and from a consumer that the operator made, and
// nothing else.
func TestPermissions(t *testing.T) {
	for _, name := range []string{"GATEWAY_0", "COLLECTOR", "OPERATOR", "SIEM", "ARCHIVE"} {
		t.Setenv(name+"_PASSWORD", "secret")
	}
	conf, err := server.ProcessConfigFile("../nats-permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	s := natstest.Run(t, func(o *server.Options) { o.Accounts, o.Users = conf.Accounts, conf.Users })
	refused := make(chan error, 100)
	as := func(user string) jetstream.JetStream {
		js, err := jetstream.New(s.Conn(t, nats.UserInfo(user, "secret"), nats.CustomInboxPrefix("_INBOX."+user),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })))
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	operator, archive, siem := as("operator"), as("archive-acme"), as("siem-acme")
	if _, err := operator.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DOCKET", Subjects: []string{"docket.activity.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.CreateConsumer(t.Context(), "DOCKET", jetstream.ConsumerConfig{
		Durable: "archive-acme", FilterSubject: "docket.activity.acme.>", AckPolicy: jetstream.AckExplicitPolicy,
	}); err != nil {
		t.Fatal(err)
	}
	live, err := siem.Conn().SubscribeSync("docket.activity.acme.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := siem.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*nats.Msg{message("docket.activity.beta.x", "b", "1"), message("docket.activity.acme.x", "a", "1")} {
		if _, err := operator.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := live.NextMsgWithContext(t.Context()); err != nil || string(m.Data) != `{"a":1}` {
		t.Errorf("live: %v, %v", m, err)
	}
	c, err := archive.Consumer(t.Context(), "DOCKET", "archive-acme")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchMaxWait(time.Minute))
	if err != nil || string(m.Data()) != `{"a":1}` {
		t.Fatalf("from the consumer: %v, %v", m, err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	for _, conn := range []*nats.Conn{siem.Conn(), archive.Conn()} {
		for what, try := range map[string]func() error{
			"another tenant's events": func() error { _, err := conn.SubscribeSync("docket.activity.beta.>"); return err },
			"all events":              func() error { _, err := conn.SubscribeSync("docket.activity.>"); return err },
			"an event of its own":     func() error { return conn.Publish("docket.activity.acme.outcome.deny.a.b.gateway-0", nil) },
			"a consumer of its own":   func() error { return conn.Publish("$JS.API.CONSUMER.CREATE.DOCKET.x", nil) },
			"a message by its number": func() error { return conn.Publish("$JS.API.STREAM.MSG.GET.DOCKET", []byte(`{"seq":1}`)) },
		} {
			if err := try(); err != nil {
				t.Fatal(err)
			}
			if err := <-refused; !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// The subscriptions of docs/subscribe.md are those that are tested with the
// grammar.
func TestDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/subscribe.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("../../internal/profile/testdata/subjects.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(golden)) {
		what, filter, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if !strings.ContainsAny(filter, "*>") {
			continue
		}
		n++
		if !bytes.Contains(doc, []byte("| "+what+" | `"+filter+"` |")) {
			t.Errorf("docs/subscribe.md lacks %s, %s", what, filter)
		}
	}
	if n < 10 {
		t.Errorf("only %d subscriptions", n)
	}
}
