// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/docket-audit/docket/ocsf"
)

// Sentence says in one line what the event with header h tells: who, did what,
// decided by which binding, and why. Everything in an event may come from an
// attacker, so control characters, and those that turn the direction of text
// or cannot be seen, are escaped.
func Sentence(h Header) string {
	return Printable(sentence(h))
}

func sentence(h Header) string {
	who, what := or(h.Principal, "someone"), or(h.Method, "an operation")
	by := h.Interceptor
	if h.Binding != "" && h.Binding != h.Interceptor {
		by += "/" + h.Binding
	}
	by = or(by, "a binding")
	switch h.Kind {
	case KindEvaluation:
		return by + " is asked about " + what + " by " + who + " (" + or(h.Phase, "no phase") + ")"
	case KindResult:
		return by + " " + past(h.Decision) + " " + what + " by " + who + why(h.StatusDetail)
	case KindFailure:
		return by + " failed (" + or(h.FailureKind, "unknown") + ") on " + what + " by " + who + ", " +
			consequence(h) + why(h.StatusDetail)
	case KindOutcome:
		return outcome(h, who, what, by)
	case KindFinding:
		return "finding: " + or(h.Message, or(h.StatusDetail, "no words for it")) + concerning(h, who, what)
	case KindAccess:
		return access(h, who)
	case KindForeign:
		return foreign(h)
	default:
		return or(h.Message, h.Kind+" of "+or(h.Emitter, "an unknown emitter"))
	}
}

// access tells who read the audit store, and what it gave.
func access(h Header, who string) string {
	asked := or(h.Method, "the audit store")
	if h.Decision == DecisionDeny {
		return who + " was refused " + asked + why(h.StatusDetail)
	}
	s := who + " asked for " + asked
	if h.Message != "" {
		s += ": " + h.Message
	}
	return s + why(h.StatusDetail)
}

// foreign tells of an event of another producer: its class, who, and what became of
// it, and its own message behind that.
func foreign(h Header) string {
	s := ocsf.ClassUID(h.ClassUID).String()
	if number := strconv.Itoa(int(h.ClassUID)); s == number {
		s = "class " + number
	}
	if h.Principal != "" {
		s += " by " + h.Principal
	}
	if h.Source != "" {
		s += " from " + h.Source
	}
	if h.Decision != "" && h.Decision != DecisionNone {
		s += ", " + past(h.Decision)
	}
	return s + why(or(h.Message, h.StatusDetail))
}

func outcome(h Header, who, what, by string) string {
	switch {
	case h.Decision == DecisionDeny && h.Binding != "":
		return who + " was denied " + what + " by " + by + why(h.StatusDetail)
	case h.Decision == DecisionDeny:
		return who + " was denied " + what + why(h.StatusDetail)
	case h.StatusCode != "" && h.StatusCode != "OK":
		return who + " was allowed " + what + ", which ended with " + h.StatusCode + why(h.StatusDetail)
	case h.Decision == DecisionModify:
		return who + " was allowed " + what + ", with changes"
	default:
		return who + " was allowed " + what
	}
}

func past(decision string) string {
	switch decision {
	case DecisionAllow:
		return "allowed"
	case DecisionDeny:
		return "denied"
	case DecisionModify:
		return "changed"
	default:
		return "noted"
	}
}

// consequence says what the failure policy made of a failure.
func consequence(h Header) string {
	policy := or(h.FailurePolicy, "unknown policy")
	switch h.Decision {
	case DecisionDeny:
		return "which denied it (" + policy + ")"
	case DecisionAllow:
		return "which let it pass unchecked (" + policy + ")"
	default:
		return "which changed nothing (" + policy + ")"
	}
}

func concerning(h Header, who, what string) string {
	if h.OperationUID == "" || h.Method == "" {
		return ""
	}
	return " (" + what + " by " + who + ")"
}

func why(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Printable returns s with everything escaped, as in Go strings, that would
// move a terminal or hide from the reader: control characters, invalid UTF-8,
// line and paragraph separators, directional and invisible format characters.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x`)
			b.WriteByte("0123456789abcdef"[s[0]>>4])
			b.WriteByte("0123456789abcdef"[s[0]&15])
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}
