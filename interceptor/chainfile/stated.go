// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/strictoml"
)

// stated is what an interceptor's table, or a bindings table, says about how
// bindings run: both have these keys, and the nearer one wins.
type stated struct {
	strictoml.Pos
	level      string
	failure    interceptor.FailurePolicy                       // 0: not stated
	policies   map[interceptor.Phase]interceptor.FailurePolicy // by phase; nil: not stated
	shadow     *bool
	audit      string
	capture    string
	captureMax int
	attributes []string
	reads      []string
	writes     []string
}

// Modes of a binding.
const (
	modeEnforce = "enforce"
	modeShadow  = "shadow"
)

func (t *interceptorTable) stated() (stated, error) {
	st := stated{Pos: t.Pos, level: levelService, attributes: t.Attributes, reads: t.Reads, writes: t.Writes}
	return st, st.read(t.FailurePolicy, t.PhasePolicies, t.Mode, t.Audit, t.Capture, t.CaptureMax)
}

func (t *bindingTable) stated() (stated, error) {
	st := stated{Pos: t.Pos, level: levelBinding, attributes: t.Attributes, reads: t.Reads, writes: t.Writes}
	return st, st.read(t.FailurePolicy, t.PhasePolicies, t.Mode, t.Audit, t.Capture, t.CaptureMax)
}

func (st *stated) read(failure *string, policies map[string]any, mode, audit, capture *string, captureMax *int) error {
	var err error
	if st.failure, err = failurePolicy(st.Pos, failure); err != nil {
		return err
	}
	if st.policies, err = st.phasePolicies(policies); err != nil {
		return err
	}
	if mode != nil {
		word, err := oneOf(st.Pos, "mode", *mode, modeEnforce, modeShadow)
		if err != nil {
			return err
		}
		shadow := word == modeShadow
		st.shadow = &shadow
	}
	if audit != nil {
		if st.audit, err = oneOf(st.Pos, "audit", *audit, interceptor.AuditDurable, interceptor.AuditBestEffort); err != nil {
			return err
		}
	}
	if st.capture, err = captureWord(st.Pos, "capture", capture); err != nil {
		return err
	}
	if st.captureMax, err = captureSize(st.Pos, "capture_max", captureMax); err != nil {
		return err
	}
	return st.checkGrants()
}

// phasePolicies reads a policy for each phase. Beside failure_policy, which is
// for all phases, one of the two would be without effect.
func (st *stated) phasePolicies(table map[string]any) (map[interceptor.Phase]interceptor.FailurePolicy, error) {
	if len(table) == 0 {
		return nil, nil
	}
	if st.failure != 0 {
		return nil, st.Errorf("phase_policies", "keep phase_policies, and name each phase in it", "phase_policies beside failure_policy, which is for all phases")
	}
	out := map[interceptor.Phase]interceptor.FailurePolicy{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		word, ok := table[key].(string)
		if !ok {
			return nil, st.Errorf("phase_policies", `write phase_policies = { validate = "fail_closed" }`, "the policy of phase %s is no text", key)
		}
		phase, err := phaseOf(st.Pos, "phase_policies", key)
		if err != nil {
			return nil, err
		}
		words := []string{interceptor.FailClosed.String(), interceptor.FailOpen.String()}
		if phase == interceptor.PostCommit {
			words = []string{interceptor.FailOpen.String(), interceptor.Ignore.String()}
		}
		if _, err := oneOf(st.Pos, "phase_policies", word, words...); err != nil {
			return nil, st.Errorf("phase_policies", "use "+strings.Join(words, " or ")+": fail_closed can only be before the handler, ignore only after it",
				"policy %q is not for phase %s", word, phase)
		}
		var policy interceptor.FailurePolicy
		if err := policy.UnmarshalText([]byte(word)); err != nil {
			return nil, st.Errorf("phase_policies", "", "%v", err)
		}
		out[phase] = policy
	}
	return out, nil
}

// phaseOf reads the name of a phase.
func phaseOf(p strictoml.Pos, key, word string) (interceptor.Phase, error) {
	words := []string{interceptor.ModifyOperation.String(), interceptor.Validate.String(), interceptor.PostCommit.String()}
	if _, err := oneOf(p, key, word, words...); err != nil {
		return 0, err
	}
	return interceptor.ModifyOperation + interceptor.Phase(slices.Index(words, word)), nil
}

// policy is what the table says about failures in a phase.
func (st *stated) policy(phase interceptor.Phase) statement {
	if p, ok := st.policies[phase]; ok {
		return statement{policy: p, pos: &st.Pos, key: "phase_policies", level: st.level}
	}
	return statement{policy: st.failure, pos: &st.Pos, key: "failure_policy", level: st.level}
}

// origin is where the table says something.
func (st *stated) origin(key string) origin { return origin{st.level, st.At(key)} }

const maxWrites = 8

var (
	// attribute are the names that an allow-list may have: those of a proxy's
	// attributes, as Envoy Gateway bounds them, and the few that agents add.
	attribute      = regexp.MustCompile(`^(connection\.|source\.|destination\.|request\.|response\.|upstream\.|xds\.route_)[a-z_0-9.\-]*\*?$`)
	moreAttributes = []string{"user_agent", "agent.id", "agent.session", "model"}
)

func (st *stated) checkGrants() error {
	for _, name := range st.attributes {
		if !attribute.MatchString(name) && !slices.Contains(moreAttributes, name) {
			return st.Errorf("attributes", `write a name such as "source.address", or "request.headers.*"; besides there are `+strings.Join(moreAttributes, ", "), "%q names no attribute", name)
		}
		if header, ok := strings.CutPrefix(name, "request.headers."); ok && credential.MatchString(header) {
			return st.Errorf("attributes", "interceptors never see credentials", "attribute %q is a credential", name)
		}
	}
	for i, name := range slices.Concat(st.reads, st.writes) {
		if !isWord(name) {
			key := "accessible_namespaces"
			if i >= len(st.reads) {
				key = "writable_namespaces"
			}
			return st.Errorf(key, "write the name of a metadata namespace", "%q names no namespace", name)
		}
	}
	if len(st.writes) > maxWrites {
		return st.Errorf("writable_namespaces", "", "%d writable namespaces, at most %d", len(st.writes), maxWrites)
	}
	for _, name := range st.writes {
		if reserved(name) {
			return st.Errorf("writable_namespaces", "namespaces of envoy and docket are not for interceptors to write", "namespace %q is reserved", name)
		}
	}
	return nil
}

func reserved(namespace string) bool {
	owner, _, _ := strings.Cut(strings.ToLower(namespace), ".")
	return owner == "envoy" || owner == "docket"
}
