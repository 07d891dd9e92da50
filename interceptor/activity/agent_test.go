// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

// TestAgents tells of agents in each way there is, in each version of OCSF.
func TestAgents(t *testing.T) {
	user := map[string]string{"kind": "user", "subject": "alice"}
	for _, c := range []struct {
		name                  string
		principal, attributes map[string]string
		older, newer          string // actor, ai_agent, ai_model
		who                   string
	}{
		{
			"nobody", nil, nil,
			`{"actor":{"app_name":"unknown"}}`,
			`{"actor":{"application":{"name":"unknown"}}}`,
			"unknown",
		},
		{
			"a user", user,
			map[string]string{"user_agent": "demo/1"},
			`{"actor":{"user":{"type":"User","type_id":1,"uid":"alice"}}}`,
			`{"actor":{"user":{"type":"User","type_id":1,"uid":"alice"}}}`,
			"alice",
		},
		{
			"a user's agent", user,
			map[string]string{"agent.id": "agent-42", "agent.session": "s-9", "model": "provider-y/model-x"},
			`{"actor":{"app_uid":"agent-42","session":{"uid":"s-9"},"user":{"type":"User","type_id":1,"uid":"alice"}},"ai_model":{"ai_provider":"provider-y","name":"model-x"}}`,
			`{"actor":{"application":{"uid":"agent-42"},"session":{"uid":"s-9"},"user":{"type":"User","type_id":1,"uid":"alice"}},"ai_agent":{"uid":"agent-42"},"ai_model":{"ai_provider":"provider-y","name":"model-x"}}`,
			"alice",
		},
		{
			"an agent of its own",
			map[string]string{"kind": "agent", "subject": "agent-42", "display_name": "builder", "provider": "idp"},
			map[string]string{"model": "model-x"},
			`{"actor":{"app_name":"builder","app_uid":"agent-42","session":{"issuer":"idp"}},"ai_model":{"ai_provider":"unknown","name":"model-x"}}`,
			`{"actor":{"application":{"name":"builder","uid":"agent-42"},"session":{"issuer":"idp"}},"ai_agent":{"name":"builder","uid":"agent-42"},"ai_model":{"ai_provider":"unknown","name":"model-x"}}`,
			"agent-42",
		},
		{
			"an agent without a name",
			map[string]string{"kind": "agent"},
			map[string]string{"model": "p/"},
			`{"actor":{"app_name":"agent"}}`,
			`{"actor":{"application":{"name":"agent"}}}`,
			"agent",
		},
		{
			"an agent in a sandbox",
			map[string]string{"kind": "sandbox", "sandbox_id": "sb-1"},
			map[string]string{"agent.id": "agent-42"},
			`{"actor":{"app_name":"sandbox","app_uid":"sb-1"}}`,
			`{"actor":{"application":{"name":"sandbox","uid":"sb-1"}},"ai_agent":{"uid":"agent-42"}}`,
			"sb-1",
		},
		{
			"nobody's agent",
			map[string]string{"kind": "anonymous"},
			map[string]string{"agent.id": "agent-42", "model": "/model-x"},
			`{"actor":{"app_name":"anonymous","app_uid":"agent-42"},"ai_model":{"ai_provider":"unknown","name":"model-x"}}`,
			`{"actor":{"application":{"name":"anonymous","uid":"agent-42"}},"ai_agent":{"uid":"agent-42"},"ai_model":{"ai_provider":"unknown","name":"model-x"}}`,
			"agent-42",
		},
	} {
		for version, want := range map[string]string{"1.8.0": c.older, "1.9.0": c.newer} {
			l := newLog(t) // which holds the event against the schema
			op := &interceptor.Operation{UID: "op", Service: "s.S", Method: "CreateM", Principal: c.principal, Attributes: c.attributes}
			activity.NewRecorder(l.emit, activity.WithSchema(version)).Record(interceptor.Fact{Operation: op, Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}})
			var e struct {
				Actor    json.RawMessage `json:"actor"`
				AIAgent  json.RawMessage `json:"ai_agent,omitempty"`
				AIModel  json.RawMessage `json:"ai_model,omitempty"`
				Metadata struct {
					Profiles []string `json:"profiles"`
				} `json:"metadata,omitzero"`
			}
			if err := json.Unmarshal(l.raw[0], &e); err != nil {
				t.Fatal(err)
			}
			if named := slices.Contains(e.Metadata.Profiles, "ai_operation"); named != (e.AIAgent != nil || e.AIModel != nil) {
				t.Errorf("%s in %s: profiles %q", c.name, version, e.Metadata.Profiles)
			}
			e.Metadata.Profiles = nil
			got, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("%s in %s (-want +got):\n%s", c.name, version, diff)
			}
			if h, err := profile.Check(l.raw[0]); err != nil || h.Principal != c.who {
				t.Errorf("%s in %s: principal %q, want %q (%v)", c.name, version, h.Principal, c.who, err)
			}
		}
	}
}
