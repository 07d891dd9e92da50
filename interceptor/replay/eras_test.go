// SPDX-License-Identifier: Apache-2.0

package replay_test

import "github.com/docket-audit/docket/interceptor"

const (
	modifies  = interceptor.ModifyOperation
	validates = interceptor.Validate
	observes  = interceptor.PostCommit
)

func phases(p ...interceptor.Phase) []interceptor.Phase { return p }

// firstEra is the charter that the catalogue changes.
func firstEra() charter {
	creates, edits := []string{"CreateBox"}, []string{"CreateBox", "UpdateBox"}
	most := []string{"CreateBox", "UpdateBox", "BulkBox", "SealBox"}
	return charter{unmatched: interceptor.UnmatchedAllow, clauses: []clause{
		{who: "naming", id: "lower", order: 10, phases: phases(modifies), methods: most, rule: rule{does: "lower", note: "checked"}},
		{who: "trial", id: "tenant", order: 15, phases: phases(modifies), methods: edits, shadow: true, writes: []string{"tenant"}, rule: rule{does: "demote", text: "free"}},
		{who: "naming", id: "prefix", order: 20, phases: phases(modifies), methods: creates, rule: rule{does: "prefix", text: "p-"}},
		{who: "tags", id: "defaults", order: 30, phases: phases(modifies), methods: edits, rule: rule{does: "defaults"}},
		{who: "trial", id: "stamp", order: 35, phases: phases(modifies), methods: edits, shadow: true, rule: rule{does: "stamp", text: "trial"}},
		{who: "tags", id: "stamp", order: 40, phases: phases(modifies), methods: edits, rule: rule{does: "stamp", text: "stamped"}},
		{who: "template", id: "expand", order: 50, phases: phases(modifies), methods: creates, policy: interceptor.FailOpen, rule: rule{does: "expand"}},
		{who: "notes", id: "fill", order: 55, phases: phases(modifies), methods: []string{"BulkBox"}, rule: rule{does: "fill", text: "fill:1"}},
		{who: "notes", id: "keep", order: 60, phases: phases(modifies), methods: []string{"CreateBox", "BulkBox"}, rule: rule{does: "keep"}},
		{who: "size", id: "cap", order: 70, phases: phases(modifies), methods: edits, principals: []string{"user/*"}, rule: rule{does: "cap", n: 8}},
		{
			who: "owner", id: "set", order: 80, phases: phases(modifies), methods: creates, labels: map[string]string{"team": "*"},
			policy: interceptor.FailClosed, modify: interceptor.FailOpen, rule: rule{does: "own"},
		},
		{who: "risk", id: "score", order: 90, phases: phases(modifies), methods: edits, reads: []string{"tenant"}, writes: []string{"risk"}, rule: rule{does: "score", n: 10, note: "scored"}},
		{who: "trial", id: "list", order: 100, phases: phases(validates), methods: []string{"CreateBox", "PeekBox"}, shadow: true, rule: rule{does: "list", list: []string{"base:1"}}},
		{who: "images", id: "list", order: 110, phases: phases(validates), methods: most, rule: rule{does: "list", list: []string{"base:1", "base:2", "old:1", "fill:1"}}},
		{
			who: "quota", id: "limit", order: 120, phases: phases(validates), methods: edits, principals: []string{"user", "agent/*"},
			policy: interceptor.FailOpen, rule: rule{does: "quota", n: 8},
		},
		{who: "risk", id: "gate", order: 130, phases: phases(validates), methods: edits, reads: []string{"risk"}, rule: rule{does: "gate", n: 100}},
		{who: "state", id: "guard", order: 140, phases: phases(validates), methods: []string{"UpdateBox"}, rule: rule{does: "guard"}},
		{who: "agents", id: "deny", order: 150, phases: phases(validates), methods: []string{"CreateBox", "DeleteBox"}, attributes: []string{"user_agent"}, rule: rule{does: "agents", text: "bot"}},
		{who: "audit", id: "both", order: 160, phases: phases(modifies, validates), methods: []string{"DeleteBox"}, policy: interceptor.FailOpen, rule: rule{does: "allow", note: "seen"}},
		{who: "watch", id: "commits", order: 170, phases: phases(observes), methods: []string{"CreateBox", "DeleteBox", "BulkBox"}, rule: rule{does: "allow"}},
		{who: "watch", id: "ignored", order: 180, phases: phases(observes), methods: edits, post: interceptor.Ignore, labels: map[string]string{"tier": "gold"}, rule: rule{does: "allow"}},
		{who: "watch", id: "trial", order: 190, phases: phases(observes), methods: creates, shadow: true, rule: rule{does: "names", text: "p-"}},
	}}
}

// secondEra came after the first: what nobody governs is denied, the record is
// waited for, and does not have all that some are shown, and most clauses say
// something else.
func secondEra() charter {
	c := firstEra()
	c.unmatched, c.audit = interceptor.UnmatchedDeny, interceptor.AuditDurable
	c = c.swap("naming/lower", "naming/prefix").without("agents/deny")
	c = c.change("images/list", func(x *clause) {
		x.list, x.policy = []string{"base:1", "base:2", "base:3", "fill:1"}, interceptor.FailOpen
	})
	c = c.change("quota/limit", func(x *clause) { x.principals, x.policy, x.n = nil, interceptor.FailClosed, 6 })
	c = c.change("state/guard", func(x *clause) { x.capture = interceptor.CaptureDigest })
	c = c.change("owner/set", func(x *clause) { x.capture = interceptor.CaptureNone })
	c = c.change("watch/ignored", func(x *clause) { x.capture = interceptor.CaptureNone })
	c = c.change("trial/list", func(x *clause) { x.phases = phases(modifies, validates) })
	return c.with(clause{who: "names", id: "tmp", order: 105, phases: phases(validates), labels: map[string]string{"tier": "gold"}, methods: []string{"CreateBox", "ListBoxes"}, rule: rule{does: "names", text: "tmp-"}})
}
