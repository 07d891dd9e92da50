// SPDX-License-Identifier: Apache-2.0

package why

import (
	"encoding/json"

	"github.com/docket-audit/docket/interceptor"
)

// An Answer says why an operation came out as it did. Its JSON is a contract:
// members are added, none go.
type Answer struct {
	Operation string `json:"operation"` // uid
	Tenant    string `json:"tenant"`
	Service   string `json:"service"`
	Method    string `json:"method"`

	// Decision, Status and Reason are those of the record, By the binding that
	// denied; nil when none did.
	Decision string   `json:"decision"`
	Status   string   `json:"status,omitempty"` // of a deny, the gRPC code
	Reason   string   `json:"reason,omitempty"`
	By       *Binding `json:"by,omitempty"`
	// Failure is set when By gave no answer and its failure policy decided.
	Failure *Failure `json:"failure,omitempty"`

	Plan      string `json:"plan"`                 // digest of the plan that was in force
	PlanSince string `json:"plan_since,omitempty"` // RFC 3339, where it is known
	Asked     string `json:"asked,omitempty"`      // digest of the plan that was asked now, if it is another

	// Judged are the bindings that the record has of the operation, in order.
	Judged []Judged `json:"judged"`

	// What the deciding binding was shown beside the request.
	Principal  map[string]string         `json:"principal,omitempty"`
	Labels     map[string]string         `json:"labels,omitempty"` // by which bindings select
	Attributes map[string]string         `json:"attributes,omitempty"`
	Metadata   map[string]map[string]any `json:"metadata,omitempty"`

	Now Now `json:"now"`

	// Fields are those of the request that were seen to matter, the decisive ones
	// first.
	Fields []Field `json:"fields"`
	// Change is the smallest change that was found to be allowed; nil if none was.
	Change *Change `json:"change"`
	// Search says how far was looked; nil when nothing was looked for.
	Search *Search `json:"search,omitempty"`

	// Notes say in words what else is to be known: what is not in the record, and
	// why something was not asked.
	Notes []string `json:"notes"`
}

// A Binding names one binding in one phase.
type Binding struct {
	Interceptor string `json:"interceptor"`
	Binding     string `json:"binding"`
	Phase       string `json:"phase"`
}

// String returns "interceptor/binding in phase".
func (b *Binding) String() string { return b.Interceptor + "/" + b.Binding + " in " + b.Phase }

func bindingOf(p *interceptor.Part) *Binding {
	if p == nil {
		return nil
	}
	return &Binding{Interceptor: p.Interceptor, Binding: p.Binding, Phase: p.Phase.String()}
}

// A Failure stands in place of an answer.
type Failure struct {
	Kind   string `json:"kind"`
	Policy string `json:"policy"`
	Detail string `json:"detail,omitempty"`
}

// Judged is what the record says of one binding.
type Judged struct {
	Binding
	Decision string `json:"decision"`
	Shadow   bool   `json:"shadow,omitempty"`  // Decision is what it would have been
	Failure  string `json:"failure,omitempty"` // kind
	Policy   string `json:"policy,omitempty"`  // what was made of the failure, if the record tells
	Skipped  string `json:"skipped,omitempty"` // why it was not called
}

// How the operation was asked again.
const (
	ReExecuted = "re-executed" // the deciding binding, or all of them, by its implementation
	FromRecord = "record"      // answered from the record, which shows nothing new
	NotAsked   = "not asked"
)

// Now is what comes of the operation now.
type Now struct {
	How      string   `json:"how"`           // ReExecuted, FromRecord or NotAsked
	Why      string   `json:"why,omitempty"` // it was not re-executed
	Decision string   `json:"decision,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	By       *Binding `json:"by,omitempty"`
	Unstable bool     `json:"unstable"` // the same request was answered otherwise the next time
}

// A Field is one place of the request.
type Field struct {
	Pointer string          `json:"pointer"` // RFC 6901
	Value   json.RawMessage `json:"value"`   // null when nothing is there
	// Decisive says that with another value, or without any, the deciding binding
	// decided otherwise, or that Change cannot do without this field. Else there
	// was only another answer: another reason, say, or another binding that denied.
	Decisive bool `json:"decisive"`
}

// A Change is one that the whole chain allows.
type Change struct {
	Patches []interceptor.Patch `json:"patches"` // RFC 6902
	Edits   []Edit              `json:"edits"`   // one for each of Patches
	// Skips are bindings that judged the request as it was, and do not select the
	// changed one.
	Skips []Binding `json:"skips,omitempty"`
}

// An Edit says where a patch comes from.
type Edit struct {
	Pointer string `json:"pointer"`
	// Seen is how many allowed operations had this value here.
	Seen int `json:"seen,omitempty"`
	// Limit is "largest" or "smallest" when Beyond, the next value that was asked
	// from there towards the recorded one, is not allowed.
	Limit  string          `json:"limit,omitempty"`
	Beyond json.RawMessage `json:"beyond,omitempty"`
}

// A Search says how far was looked.
type Search struct {
	Tries   int `json:"tries"`   // how often the operation was asked
	Budget  int `json:"budget"`  // how often it could have been
	Fields  int `json:"fields"`  // of the request
	Changed int `json:"changed"` // of them were changed at least once
	Allowed int `json:"allowed"` // operations whose values were tried
	// Stopped is what ended the search before everything was tried, "budget" or
	// "time"; empty when there was nothing left to try.
	Stopped string `json:"stopped,omitempty"`
	// Assumed are bindings that have no implementation here, and are taken to have
	// nothing against a changed request.
	Assumed []Binding `json:"assumed,omitempty"`
}
