// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"context"
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/ocsf"
)

func flagSet(t *testing.T) *flag.FlagSet {
	t.Helper()
	return flag.NewFlagSet("nats-server", flag.ContinueOnError)
}

// The servers of both profiles, in this process: those of a cluster find each
// other, over TLS, and with what deploy/nats/accounts.conf grants them operator,
// emitter and collector can do all of their work.
func TestServersCarryEvents(t *testing.T) {
	for profile, replicas := range map[string]int{"small": 1, "full": 3} {
		t.Run(profile, func(t *testing.T) {
			m := newMachine(t, profile)
			urls := m.startNATS()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			m.apply(ctx, urls, replicas)

			js, err := jetstream.New(m.connect(urls, "collector"))
			if err != nil {
				t.Fatal(err)
			}
			store, err := lake.Open(t.TempDir(), lake.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := collector.New(collector.Config{JetStream: js, Store: store, Replicas: replicas})
			if err != nil {
				t.Fatal(err)
			}
			em, err := emitter.New(emitter.Config{Dir: t.TempDir(), Name: "gateway", Conn: m.connect(urls, "gateway"), Replicas: replicas})
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
			if err := em.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}
