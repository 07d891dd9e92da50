// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// The attributes of an operation that tell of an AI agent, where an adapter
// knows of one.
const (
	attributeAgent   = "agent.id"
	attributeSession = "agent.session"
	attributeModel   = "model" // name or provider/name
)

// kindAgent is the kind of a principal that is an agent itself, rather than
// somebody who lets one act.
const kindAgent = "agent"

// An agent is what is known of the AI agent that an operation comes from; zero
// when it comes from none.
type agent struct {
	uid, name, session string
	model              *ocsf.AIModel
}

func agentOf(op *interceptor.Operation) agent {
	a := agent{
		uid: text(op.Attributes[attributeAgent]), session: text(op.Attributes[attributeSession]),
		model: modelOf(text(op.Attributes[attributeModel])),
	}
	if op.Principal[principalKind] == kindAgent {
		a.uid = or(a.uid, text(op.Principal[principalSubject]))
		a.name = text(op.Principal[principalDisplayName])
	}
	return a
}

// modelOf returns the model that s names; nil when it names none. The schema
// wants a provider named.
func modelOf(s string) *ocsf.AIModel {
	provider, name, ok := strings.Cut(s, "/")
	if !ok {
		provider, name = "", s
	}
	if name == "" {
		return nil
	}
	return &ocsf.AIModel{Name: name, AIProvider: or(provider, "unknown")}
}

// described returns the agent as OCSF 1.9 describes it; nil when there is none.
func (a agent) described() *ocsf.AIAgent {
	if a.uid == "" && a.name == "" {
		return nil
	}
	return &ocsf.AIAgent{UID: a.uid, Name: a.name}
}
