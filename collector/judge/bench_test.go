// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// mixed returns messages with the events of operations of two tenants, as a gateway
// records them, each of a chain of three bindings: of about 1.6 KB, and of all kinds
// that a call brings. Those of many callers at once come in any order.
func mixed(tb testing.TB, operations int) []Message {
	tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var all []Message
	links := map[string]*profile.Link{}
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		common := e.Common()
		common.Metadata.Product = &ocsf.Product{Name: "docket"}
		link := links[common.Metadata.TenantUID]
		if link == nil {
			link = &profile.Link{Emitter: "gateway-0", Epoch: storetest.NewUID()}
			links[common.Metadata.TenantUID] = link
		}
		link.Sequence++
		raw, h, err := profile.SealHeader(e, *link)
		if err != nil {
			tb.Fatal(err)
		}
		link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
		if lent, ok := e.(activity.Lent); ok {
			lent.Release()
		}
		all = append(all, message(store.Entry{Raw: raw, Header: h}))
		return taken{}
	})
	plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Audit: interceptor.AuditBestEffort}
	for i, name := range []string{"naming", "quota", "images"} {
		decide := func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			if name == "images" && e.Principal["display_name"] == "denied" {
				return &interceptor.Result{Decision: interceptor.Deny, Reason: "the image is not on the allow-list", StatusCode: "PERMISSION_DENIED"}, nil
			}
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}
		plan.Bindings = append(plan.Bindings, interceptor.Binding{
			Interceptor: name, ID: "create", Order: int32(i), Phases: []interceptor.Phase{interceptor.Validate}, Impl: interceptor.Func(decide), Timeout: time.Minute,
		})
	}
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		tb.Fatal(err)
	}
	for range operations {
		who := random.IntN(1000)
		name := fmt.Sprint("User ", who)
		if random.IntN(20) == 0 {
			name = "denied"
		}
		sandbox := &sandboxv1.Sandbox{
			Name: fmt.Sprintf("sandbox-%06d", random.IntN(1e6)), Labels: map[string]string{"team": fmt.Sprint("team-", random.IntN(30)), "stage": "production"},
			Spec: &sandboxv1.SandboxSpec{Image: fmt.Sprint("registry.example/service:", random.IntN(40)), Replicas: int32(random.IntN(9)), Environment: map[string]string{}},
		}
		for i := range 11 {
			sandbox.Spec.Environment[fmt.Sprintf("SERVICE_SETTING_%02d", i)] = fmt.Sprintf("https://service.internal/%020x", random.Uint64())
		}
		chain.Run(tb.Context(), &interceptor.Operation{
			Tenant: []string{"acme", "globex"}[who%2], Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Start: time.Now(),
			Principal:  map[string]string{"kind": "user", "subject": fmt.Sprint("user-", who), "display_name": name},
			Attributes: map[string]string{"source.address": fmt.Sprintf("192.0.2.%d:4711", who%250), "user_agent": "grpc-go/1.85"},
			Request:    &sandboxv1.CreateSandboxRequest{Sandbox: sandbox},
		}, func(context.Context, proto.Message) (proto.Message, error) {
			return &sandboxv1.CreateSandboxResponse{}, nil
		})
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

type taken struct{}

func (taken) Spooled(context.Context) error { return nil }

// BenchmarkEvent is what the collector pays for each message before any store.
func BenchmarkEvent(b *testing.B) {
	all := mixed(b, 200)
	bytes := 0
	for _, m := range all {
		bytes += len(m.Data)
	}
	b.SetBytes(int64(bytes / len(all)))
	b.ReportAllocs()
	j := New(profile.Prefix, memory.New(memory.Options{}))
	n := 0
	for b.Loop() {
		if _, err := j.Event(all[n%len(all)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
