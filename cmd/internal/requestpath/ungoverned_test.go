// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// The statement is clean OCSF once the emitter has filled in what it leaves open.
func TestUngovernedIsOCSF(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker := natstest.Run(t)
	js := broker.JetStream(t)
	if err := stream.Apply(ctx, js); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(ctx, stream.Declared().Stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range profile.Versions() {
		em, err := emitter.New(emitter.Config{Dir: t.TempDir(), Name: "gateway-0", Conn: broker.Conn(t), Product: Product(), Version: version})
		if err != nil {
			t.Fatal(err)
		}
		em.Emit(ctx, ungoverned(map[string]any{"/grpc.health.v1.Health/Check": int64(3)}, map[string]any{"/grpc.health.v1.Health/Check": int64(7)}, 3, "sha256:0", time.Now()))
		if err := em.Close(ctx); err != nil { // with a stop event behind it
			t.Fatal(err)
		}
		info, err := s.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := s.GetMsg(ctx, info.State.LastSeq-1)
		if err != nil {
			t.Fatal(err)
		}
		report, err := ocsf.Validate(msg.Data, version, ocsf.ModeServer)
		if err != nil || len(report.Errors)+len(report.Warnings) > 0 || !strings.Contains(string(msg.Data), `3 calls of 1 method passed ungoverned`) {
			t.Errorf("OCSF %s: %+v, %v\n%s", version, report, err, msg.Data)
		}
	}
}
