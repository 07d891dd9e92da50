// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// What a [Rule] does with what it finds.
const (
	RedactDrop = "drop" // leaves it out: the member, the item, the text that matched
	RedactMask = "mask" // writes *** in its place
	RedactHMAC = "hmac" // writes hmac-sha256:KEY:DIGEST in its place: equal values stay equal
)

// RedactFailed is said, in place of what a rule does, where the rule failed and the
// value was replaced whole.
const RedactFailed = "failed"

const (
	mask = "***"
	// minKey is the least length of the key, in bytes: the values that are worth
	// a keyed digest can be guessed.
	minKey = 16
)

// A Rule says what of an operation is not written into events, and what is
// written instead. It needs a name, and one or more of Headers, Pointers and
// Regex.
//
// What identifies things is not redacted: uids, tenants, the names of services,
// methods, interceptors and bindings, codes.
type Rule struct {
	Name string

	// Headers are names of attributes, in any case. A name is also that of the
	// attribute request.headers.NAME; user-agent and x-request-id are those of the
	// attributes that are made of these headers. A principal is no attribute.
	Headers []string

	// Pointers are JSON Pointers (RFC 6901) into the JSON form of payloads and
	// states, and so of what patches set there. The token * is any one member or
	// item. A field has the names that its schema and its JSON give it, an extension
	// its own and its full one, with or without brackets; names are compared without
	// underscores and case.
	Pointers []string

	// Regex (RE2) is looked for in every text and number that an event says of the
	// operation: payloads, patches, reasons, principals, attributes, metadata, ...
	Regex string

	// RPCs are the methods that the rule is for, as "service/method" with an
	// optional asterisk at the end; none is all.
	RPCs []string

	Do string // RedactDrop, RedactMask or RedactHMAC
}

// A Redactor applies rules to what a [Recorder] writes. It never changes.
type Redactor struct {
	rules []rule
}

// A rule is a Rule, compiled.
type rule struct {
	name, do string
	headers  []string // lower-case
	pointers [][]string
	pattern  *regexp.Regexp
	rpcs     []string

	// instead returns what is written in the place of a value.
	instead func(string) string
}

// NewRedactor returns a Redactor of the rules, which are applied in their order.
// The key is of rules that write keyed digests; it has 16 bytes or more.
func NewRedactor(rules []Rule, key []byte) (*Redactor, error) {
	r := &Redactor{}
	for i, from := range rules {
		compiled, err := compile(from, key)
		if err == nil && slices.ContainsFunc(r.rules, func(other rule) bool { return other.name == from.Name }) {
			err = errors.New("another rule has that name")
		}
		if err != nil {
			return nil, fmt.Errorf("redaction rule %d (%q): %w", i+1, from.Name, err)
		}
		r.rules = append(r.rules, compiled)
	}
	return r, nil
}

// ruleDescriptor and ruleCredentials are named in events where no rule of an
// operator is: for fields that their schema marks secret, and for headers that
// hold credentials.
const (
	ruleDescriptor  = "descriptor"
	ruleCredentials = "credentials"
)

func compile(from Rule, key []byte) (rule, error) {
	r := rule{name: text(from.Name), do: from.Do, rpcs: slices.Clone(from.RPCs)}
	switch {
	case from.Name == "":
		return r, errors.New("no name: events say which rule was applied")
	case from.Name == ruleDescriptor || from.Name == ruleCredentials:
		return r, errors.New("the name is taken: events say it of what is never recorded")
	case len(from.Headers) == 0 && len(from.Pointers) == 0 && from.Regex == "":
		return r, errors.New("it finds nothing: state headers, pointers, or a regex")
	}
	switch from.Do {
	case RedactDrop:
		r.instead = func(string) string { return "" }
	case RedactMask:
		r.instead = func(string) string { return mask }
	case RedactHMAC:
		if len(key) < minKey {
			return r, fmt.Errorf("hmac needs a key of %d bytes or more, there are %d", minKey, len(key))
		}
		r.instead = keyed(slices.Clone(key))
	default:
		return r, fmt.Errorf("do %q: it is %s, %s or %s", from.Do, RedactDrop, RedactMask, RedactHMAC)
	}
	for _, h := range from.Headers {
		if h == "" {
			return r, errors.New("an empty header name")
		}
		r.headers = append(r.headers, strings.ToLower(h))
	}
	for _, p := range from.Pointers {
		if !strings.HasPrefix(p, "/") {
			return r, fmt.Errorf("pointer %q does not begin with a slash; to record no payload at all, set capture", p)
		}
		r.pointers = append(r.pointers, tokensOf(p))
	}
	if from.Regex == "" {
		return r, nil
	}
	var err error
	if r.pattern, err = regexp.Compile(from.Regex); err != nil {
		return r, fmt.Errorf("read regex: %w", err)
	}
	if r.pattern.MatchString("") {
		return r, errors.New("the regex matches the empty text, and so everywhere")
	}
	return r, nil
}

// keyed returns the keyed digest of values. Its first half names the key, so that
// digests by different keys are not taken for different values.
func keyed(key []byte) func(string) string {
	digest := func(s string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return hex.EncodeToString(h.Sum(nil))
	}
	prefix := "hmac-sha256:" + digest("the name of this key")[:8] + ":"
	return func(s string) string { return prefix + digest("value:"+s) }
}

// governs says whether the rule is for a method, "service/method".
func (r *rule) governs(method string) bool {
	return len(r.rpcs) == 0 || slices.ContainsFunc(r.rpcs, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(method, prefix)
		}
		return pattern == method
	})
}

// header says whether the rule is for an attribute.
func (r *rule) header(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(r.headers, name) || slices.Contains(r.headers, strings.TrimPrefix(name, headerPrefix)) ||
		slices.Contains(r.headers, cmp.Or(headerOf[name], name))
}

// headerOf names the headers of the attributes that have names of their own.
var headerOf = map[string]string{"user_agent": "user-agent", attributeRequestID: "x-request-id"}

// label says whether the rule is for a label. An operation's labels are a copy of
// what its request holds in the map "labels", or in that of a message in it: what
// is withheld there is withheld here.
func (r *rule) label(name string) bool {
	return slices.ContainsFunc(r.pointers, func(pattern []string) bool {
		for _, place := range [][]string{{atLabels, name}, {pattern[0], atLabels, name}} {
			if rest, ok := (spot{}).below(pattern, place); ok && len(rest) == 0 {
				return true
			}
		}
		return false
	})
}

// headerPrefix begins the names of attributes that are headers of a request.
const headerPrefix = "request.headers."
