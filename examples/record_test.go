// SPDX-License-Identifier: Apache-2.0

package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/ocsf"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

var update = flag.Bool("update", false, "write golden files anew")

// teams tells the next ones which team asks, as the header says.
func teams() judge {
	b := binding("who", interceptor.Validate, sandboxes+"CreateSandbox")
	b.Attributes, b.Writes = []string{"request.headers.x-team", "source.address"}, []string{"team"}
	return judge{[]interceptor.Binding{b}, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{
			Decision: interceptor.Allow, Reason: "asked for in TICKET-4711",
			Metadata: map[string]map[string]any{"team": {"name": e.Attributes["request.headers.x-team"]}},
		}, nil
	}}
}

// byDigest wants images by digest, as examples/interceptor does.
func byDigest(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Deny, Reason: "name the image by digest"}, nil
}

// quotaOf allows the team that it is told.
func quotaOf(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow, Annotations: map[string]string{"quota.team": fmt.Sprint(e.Metadata["team"]["name"])}}, nil
}

// recordOf loads record.toml, with its interceptors in process, and returns the
// chain and where its events go.
func recordOf(t *testing.T) (*interceptor.Chain, *[]ocsf.Event) {
	t.Helper()
	quota := binding("size", interceptor.Validate, sandboxes+"CreateSandbox")
	quota.Reads = []string{"team"}
	f, err := chainfile.Load(t.Context(), "record.toml",
		chainfile.Local("teams", teams()),
		chainfile.Local("digests", judge{[]interceptor.Binding{binding("by-digest", interceptor.Validate, sandboxes+"CreateSandbox")}, byDigest}),
		chainfile.Local("quota", judge{[]interceptor.Binding{quota}, quotaOf}))
	if err != nil {
		t.Fatal(err)
	}
	var rules []activity.Rule
	for _, r := range f.Redactions {
		rules = append(rules, activity.Rule(r))
	}
	redactor, err := activity.NewRedactor(rules, []byte("a key for an example"))
	if err != nil {
		t.Fatal(err)
	}
	events := &[]ocsf.Event{}
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack { *events = append(*events, e); return durable{} },
		activity.WithRedactor(redactor), activity.WithCaptureMax(f.Capture.Max))
	chain, err := interceptor.New(f.Plan, rec)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	chain.NewUID = func() interceptor.UID { n++; return interceptor.UID(fmt.Sprintf("uid-%d", n)) }
	chain.Now = func() time.Time { return time.UnixMilli(1_793_215_000_000) }
	return chain, events
}

type durable struct{}

func (durable) Spooled(context.Context) error { return nil }

// One operation through record.toml, in the parts of its events that the file
// decides.
func TestRecord(t *testing.T) {
	chain, events := recordOf(t)
	op := &interceptor.Operation{
		Service: strings.TrimSuffix(sandboxes, "/"), Method: "CreateSandbox", Attributes: map[string]string{"request.headers.x-team": "blue", "source.address": "192.0.2.7:1"},
		Labels: map[string]string{"owner": "ann"},
		Request: &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{
			Name: "web", Labels: map[string]string{"owner": "ann"}, Annotations: map[string]string{"why": "see TICKET-4711"},
			Spec: &sandboxv1.SandboxSpec{
				Image: "registry.example/base/x:1", Environment: map[string]string{"PASSWORD": "canary"},
				Credentials: &sandboxv1.Credentials{Token: "canary", TokenHint: "the blue one"},
			},
		}},
	}
	outcome := chain.Run(t.Context(), op, func(_ context.Context, request proto.Message) (proto.Message, error) { return request, nil })
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if outcome.Decision != interceptor.Allow || !outcome.Ran {
		t.Errorf("a shadow decided: %+v", outcome)
	}
	var shown []map[string]any
	for _, e := range *events {
		shown = append(shown, decided(t, e))
	}
	got, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(bytes.ReplaceAll(bytes.ReplaceAll(got, []byte(`\u003c`), []byte("<")), []byte(`\u003e`), []byte(">")), '\n')
	for _, text := range []string{"canary", "TICKET-4711", `"ann"`} {
		if bytes.Contains(got, []byte(text)) {
			t.Errorf("%s is recorded", text)
		}
	}
	if *update {
		if err := os.WriteFile("record.golden.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("record.golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("record.golden.json (-want +got; accept with -update):\n%s", diff)
	}
}

// decided returns the parts of an event that a file decides.
func decided(t *testing.T, e ocsf.Event) map[string]any {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		API struct {
			Request  map[string]any `json:"request"`
			Response map[string]any `json:"response"`
		} `json:"api"`
		Authorizations []any `json:"authorizations"`
		Metadata       struct {
			EventCode string `json:"event_code"`
		} `json:"metadata"`
		Tags     []any `json:"tags"`
		Unmapped struct {
			Docket map[string]any `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	delete(event.Unmapped.Docket, "plan") // the digest is of the endpoints too
	out := map[string]any{"kind": event.Metadata.EventCode}
	for name, v := range map[string]any{"request": event.API.Request, "response": event.API.Response, "docket": event.Unmapped.Docket} {
		if m := v.(map[string]any); len(m) > 0 {
			out[name] = m
		}
	}
	for name, list := range map[string][]any{"authorizations": event.Authorizations, "tags": event.Tags} {
		if len(list) > 0 {
			out[name] = list
		}
	}
	return out
}
