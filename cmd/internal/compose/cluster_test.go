// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/cmd/internal/compose"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

const replicas = 3

// The cluster of nats.conf, in this process: its three servers find each
// other, its two users can do all of their work, and the gateway's cannot
// speak for another emitter.
func TestClusterCarriesEvents(t *testing.T) {
	urls := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	collecting := connect(t, urls, "collector", "collector-password")
	js, err := jetstream.New(collecting)
	if err != nil {
		t.Fatal(err)
	}
	apply(ctx, t, js)
	store, err := lake.Open(t.TempDir(), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := collector.New(collector.Config{JetStream: js, Store: store, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	gateway := connect(t, urls, "gateway", "gateway-password")
	em, err := emitter.New(emitter.Config{Dir: t.TempDir(), Name: "gateway", Conn: gateway, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{c.Run, em.Run} {
		parts.Go(func() {
			if err := run(running); err != nil && running.Err() == nil {
				t.Error(err)
			}
		})
	}
	defer parts.Wait()
	defer stop()

	event := &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleOther,
		Base: ocsf.Base{
			ActivityName: "Test", Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational,
			Metadata: ocsf.Metadata{EventCode: "lifecycle", TenantUID: "acme"},
		},
	}
	if err := em.Emit(ctx, event).Stored(ctx); err != nil {
		t.Errorf("an event on its way from WAL to store: %v; troubles: %v", err, em.State().Troubles)
	}

	refused := make(chan error, 1)
	gateway.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	})
	if err := gateway.Publish("docket.activity.acme.outcome.deny.s.m.collector", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the gateway may speak for the collector")
	}
	if err := em.Close(ctx); err != nil {
		t.Error(err)
	}
}

// apply creates the stream as soon as the servers have agreed on a leader;
// before that they leave the question unanswered.
func apply(ctx context.Context, t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := stream.Apply(try, js, stream.Replicas(replicas))
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func connect(t *testing.T, urls, user, password string) *nats.Conn {
	t.Helper()
	// The inbox is the one that the commands take for an emitter with a name.
	conn, err := nats.Connect(urls, nats.UserInfo(user, password), nats.MaxReconnects(-1), nats.CustomInboxPrefix("_INBOX."+user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// cluster runs the three servers, each as the file says but for its addresses
// and its directory, and returns their URLs.
func cluster(t *testing.T) string {
	t.Helper()
	p := load(t)
	var names []string
	var routes []*url.URL
	var options []*server.Options
	for name, s := range p.Running("nats:2.15.2-alpine") {
		o := natsOptions(t, compose.HostPath(&s, "/etc/nats/nats.conf"))
		o.ServerName, o.StoreDir, o.NoSigs, o.NoLog = name, t.TempDir(), true, true
		o.Host, o.Port = "127.0.0.1", natstest.FreePort(t)
		o.HTTPHost, o.HTTPPort = "", 0
		o.Cluster.Host, o.Cluster.Port = "127.0.0.1", natstest.FreePort(t)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", o.Cluster.Port)})
		names = append(names, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
		options = append(options, o)
	}
	if len(options) != replicas {
		t.Fatalf("%d servers, want %d", len(options), replicas)
	}
	for _, o := range options {
		o.Routes = routes
		srv, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		go srv.Start()
		t.Cleanup(func() {
			srv.Shutdown()
			srv.WaitForShutdown()
		})
		if !srv.ReadyForConnections(time.Minute) {
			t.Fatal("a server does not start")
		}
	}
	return names[0] + "," + names[1] + "," + names[2]
}
