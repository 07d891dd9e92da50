// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// permitted runs a server as examples/nats-permissions.conf has it, on a free
// port, and returns how its users connect.
func permitted(t *testing.T) (s *natstest.Server, as func(user string, opts ...nats.Option) *nats.Conn) {
	t.Helper()
	for _, name := range []string{"GATEWAY_0", "COLLECTOR", "OPERATOR", "SIEM", "ARCHIVE"} {
		t.Setenv(name+"_PASSWORD", "secret")
	}
	conf, err := server.ProcessConfigFile("../examples/nats-permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !conf.JetStream || !conf.SyncAlways {
		t.Error("the example's server does not sync each write")
	}
	if conf.MaxPayload != 8<<20 {
		t.Errorf("the example's server takes messages of %d bytes", conf.MaxPayload)
	}
	s = natstest.Run(t, func(o *server.Options) { o.Accounts, o.Users = conf.Accounts, conf.Users })
	return s, func(user string, opts ...nats.Option) *nats.Conn {
		return s.Conn(t, append(opts, nats.UserInfo(user, "secret"), nats.CustomInboxPrefix("_INBOX."+user))...)
	}
}

func TestPermissionsExample(t *testing.T) {
	_, as := permitted(t)
	js := func(user string) jetstream.JetStream {
		js, err := jetstream.New(as(user))
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	if err := stream.Apply(t.Context(), js("operator")); err != nil {
		t.Fatal(err)
	}
	siem, err := as("siem-acme").SubscribeSync("docket.activity.acme.>")
	if err != nil {
		t.Fatal(err)
	}

	// The emitter does all it has to, watermarks included.
	e := start(t, t.TempDir(), as("gateway-0"))
	r := e.Emit(t.Context(), event("acme", "payload"))
	if err := r.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	collector := js("collector")
	kv, err := stream.Bucket(t.Context(), collector)
	if err != nil {
		t.Fatal(err)
	}
	at := r.group.places[r.index]
	if err := stream.PutWatermark(t.Context(), kv, stream.Watermark{Store: "lake", Epoch: at.epoch, Sequence: at.sequence}); err != nil {
		t.Fatal(err)
	}
	if err := r.Stored(within(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of trouble", func() bool { return len(e.State().Troubles) == 0 })
	// It is asked by the collector, and may answer.
	q, err := stream.Question{Ranges: []stream.Range{{Epoch: at.epoch, First: 1, Last: at.sequence}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := collector.Conn().Request(stream.HolesSubject("gateway-0"), q, time.Minute)
	if err != nil || !strings.Contains(string(m.Data), stream.AnswerResent) {
		t.Errorf("answer %v, %v", m, err)
	}
	e.close()

	// The collector takes the lease of its store, and renews it.
	leases, err := stream.LeaseBucket(t.Context(), collector)
	if err != nil {
		t.Fatal(err)
	}
	var revision uint64
	for range 2 {
		if revision, err = stream.PutLease(t.Context(), leases, "lake", stream.Lease{Holder: "collector", Term: "1"}, revision); err != nil {
			t.Fatal(err)
		}
		if l, err := stream.GetLease(t.Context(), leases, "lake"); err != nil || l.Revision != revision {
			t.Fatalf("the lease is %+v, %v", l, err)
		}
	}

	// The collector reads the stream, the subscriber its tenant.
	if err := stream.Check(t.Context(), collector); err != nil {
		t.Error(err)
	}
	s, err := collector.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	durable := jetstream.ConsumerConfig{Durable: "collector-lake", AckPolicy: jetstream.AckAllPolicy}
	c, err := s.CreateConsumer(t.Context(), durable)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next(jetstream.FetchMaxWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(within(t)); err != nil {
		t.Error(err)
	}
	for names := s.ConsumerNames(t.Context()); ; {
		name, ok := <-names.Name()
		if !ok {
			if err := names.Err(); err != nil {
				t.Error(err)
			}
			break
		}
		if name != durable.Durable {
			t.Errorf("consumer %q", name)
		}
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSequence(2)); err != nil {
		t.Error(err)
	}
	if err := s.DeleteConsumer(t.Context(), durable.Durable); err != nil {
		t.Error(err)
	}
	got, err := siem.NextMsg(time.Minute)
	if err != nil || !strings.HasPrefix(got.Subject, "docket.activity.acme.lifecycle.") {
		t.Errorf("the subscriber got %v, %v", got, err)
	}
}

// Each of these would let one part act as another.
func TestPermissionsAreNarrow(t *testing.T) {
	_, as := permitted(t)
	operator, err := jetstream.New(as("operator"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Apply(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	subject := func(emitter string) string {
		return profile.Subject(profile.Prefix, profile.Header{
			Tenant: "acme", Kind: profile.KindResult, Decision: profile.DecisionAllow,
			Service: "demo.v1.Sandboxes", Method: "CreateSandbox", Emitter: emitter,
		})
	}
	publish := func(subject string) func(*nats.Conn) error {
		return func(nc *nats.Conn) error { return nc.Publish(subject, []byte("x")) }
	}
	subscribe := func(subject string) func(*nats.Conn) error {
		return func(nc *nats.Conn) error { _, err := nc.SubscribeSync(subject); return err }
	}
	for name, tt := range map[string]struct {
		user    string
		do      func(*nats.Conn) error
		allowed bool
	}{
		"an emitter in its own name":          {"gateway-0", publish(subject("gateway-0")), true},
		"an emitter in another's name":        {"gateway-0", publish(subject("gateway-1")), false},
		"an emitter with its name too early":  {"gateway-0", publish("docket.activity.acme.result.allow.s.gateway-0"), false},
		"an emitter with its name in between": {"gateway-0", publish(subject("gateway-0") + ".gateway-1"), false},
		"an emitter sets a watermark":         {"gateway-0", publish("$KV.docket_watermarks.lake.x"), false},
		"an emitter takes a lease":            {"gateway-0", publish("$KV.docket_leases.lake"), false},
		"an emitter purges the stream":        {"gateway-0", publish("$JS.API.STREAM.PURGE.DOCKET"), false},
		"an emitter reads the stream":         {"gateway-0", publish("$JS.API.CONSUMER.CREATE.DOCKET.x"), false},
		"an emitter reads subjects":           {"gateway-0", subscribe("docket.activity.>"), false},
		"an emitter reads others' answers":    {"gateway-0", subscribe("_INBOX.>"), false},
		"a collector as an emitter":           {"collector", publish(subject("gateway-0")), false},
		"a collector deletes the stream":      {"collector", publish("$JS.API.STREAM.DELETE.DOCKET"), false},
		"a collector weakens the stream":      {"collector", publish("$JS.API.STREAM.UPDATE.DOCKET"), false},
		"a subscriber reads another tenant":   {"siem-acme", subscribe("docket.activity.*.>"), false},
		"an emitter listens to its questions": {"gateway-0", subscribe("docket.control.gateway-0.holes"), true},
		"an emitter listens to another's":     {"gateway-0", subscribe("docket.control.gateway-1.holes"), false},
		"an emitter listens to all questions": {"gateway-0", subscribe("docket.control.>"), false},
		"an emitter asks another":             {"gateway-0", publish("docket.control.gateway-1.holes"), false},
		"an emitter answers unasked":          {"gateway-0", publish("_INBOX.collector.x"), false},
		"a collector asks an emitter":         {"collector", publish("docket.control.gateway-0.holes"), true},
		"a collector listens for an emitter":  {"collector", subscribe("docket.control.gateway-0.holes"), false},
		"a subscriber asks an emitter":        {"siem-acme", publish("docket.control.gateway-0.holes"), false},
		"a subscriber publishes":              {"siem-acme", publish(subject("siem-acme")), false},
	} {
		t.Run(name, func(t *testing.T) {
			refused := make(chan error, 1)
			nc := as(tt.user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				select {
				case refused <- err:
				default:
				}
			}))
			if err := tt.do(nc); err != nil {
				t.Fatal(err)
			}
			if err := nc.FlushTimeout(time.Minute); err != nil {
				t.Fatal(err)
			}
			// The refusal precedes the answer to the flush, but is told by another
			// goroutine.
			if !tt.allowed {
				if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("refused with %v", err)
				}
				return
			}
			select {
			case err := <-refused:
				t.Errorf("refused: %v", err)
			default:
			}
		})
	}
}
