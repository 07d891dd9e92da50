// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reading are the words that the names of methods begin with that change
// nothing.
var reading = []string{"Get", "List", "Watch", "Read", "Describe", "Search", "Count", "Check"}

// durable reports whether the facts of an operation of the method are waited
// for, in which the given steps have a part. What is said of the method holds,
// then of its service; then what bindings say that take part, of whom one that
// wants it durable is enough, and best_effort takes all of them; then
// [Plan.Audit]. Under [AuditAuto] facts are waited for unless the method's name
// says that it only reads: "GetSandbox" does, "Checkout" does not.
func (p *Plan) durable(service, method string, steps ...[]step) bool {
	mode := p.Audit
	if said := audited(steps); said != "" {
		mode = said
	}
	for _, name := range []string{service + "/*", service + "/" + method} {
		if len(p.AuditMethods) == 0 {
			break
		}
		if said := p.AuditMethods[name]; said != "" {
			mode = said
		}
	}
	switch mode {
	case AuditDurable:
		return true
	case AuditBestEffort:
		return false
	}
	return !slices.ContainsFunc(reading, func(word string) bool {
		rest, ok := strings.CutPrefix(method, word)
		return ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z')
	})
}

// audited is what the bindings of the steps that are not skipped say together:
// "" when it is left to the plan.
func audited(steps [][]step) string {
	relaxed, others := false, false
	for _, list := range steps {
		for i := range list {
			switch s := &list[i]; {
			case s.skipped != "":
			case s.Audit == AuditDurable:
				return AuditDurable
			case s.Audit == AuditBestEffort:
				relaxed = true
			default:
				others = true
			}
		}
	}
	if relaxed && !others {
		return AuditBestEffort
	}
	return ""
}

func isAudit(mode string) bool {
	return mode == AuditAuto || mode == AuditDurable || mode == AuditBestEffort
}

// checkAudit says what is wrong with what the plan says of methods.
func (p *Plan) checkAudit() error {
	for _, name := range slices.Sorted(maps.Keys(p.AuditMethods)) {
		service, method, ok := strings.Cut(name, "/")
		if !ok || service == "" || method == "" || strings.Contains(method, "/") {
			return &PlanError{Field: "audit_methods", Problem: fmt.Sprintf("%q is no method", name), Fix: `write "SERVICE/METHOD", or "SERVICE/*"`}
		}
		if mode := p.AuditMethods[name]; !isAudit(mode) {
			return &PlanError{Field: "audit_methods", Problem: fmt.Sprintf("unknown mode %q of %s", mode, name), Fix: "use auto, durable or best_effort"}
		}
	}
	return nil
}
