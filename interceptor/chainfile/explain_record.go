// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
)

// What is said where the file says nothing about the record and about tokens:
// packages activity and remote have the same.
const (
	defaultCaptureMax = 256 << 10
	defaultTTL        = 15 * time.Minute
	defaultHMACKey    = "DIR/keys/redact.key"
	defaultTokenKey   = "DIR/keys/tokens.key"
)

// A Withholding is a [[redact]] table: what a rule withholds from the record.
type Withholding struct {
	Rule    string   `json:"rule"`
	Finds   []string `json:"finds"`   // "header NAME", "pointer /A/B", "regex ..."
	Methods []string `json:"methods"` // empty: of every method
	Do      Value    `json:"do"`      // "drop", "mask" or "hmac"
}

// TokensOf says by what interceptors know who calls them.
type TokensOf struct {
	Issuer Value `json:"issuer"`
	TTL    Value `json:"ttl"`
	Key    Value `json:"key"` // path; DIR is the data directory
}

// saidBy is a value with the place that says it, or else a default.
func (s *settings) saidBy(key, stated, otherwise string) Value {
	if at := s.origins[key]; at != "" {
		return Value{Value: stated, Origin: at}
	}
	return Value{Value: otherwise, Origin: originDefault}
}

// explainRecord explains the tables about the record and about tokens.
func (e *Explanation) explainRecord(s *settings) {
	e.Capture = s.saidBy("capture.mode", s.capture.Mode, interceptor.CaptureFull)
	e.CaptureMax = s.saidBy("capture.max", strconv.Itoa(s.capture.Max), strconv.Itoa(defaultCaptureMax))
	e.Withheld = []Withholding{}
	keyed := s.capture.HMACKey != ""
	for i, r := range s.redactions {
		w := Withholding{Rule: r.Name, Methods: append([]string{}, r.RPCs...), Do: Value{Value: r.Do, Origin: s.origins[redactionAt(i)]}}
		for _, h := range r.Headers {
			w.Finds = append(w.Finds, "header "+h)
		}
		for _, p := range r.Pointers {
			w.Finds = append(w.Finds, "pointer "+p)
		}
		if r.Regex != "" {
			w.Finds = append(w.Finds, "regex "+r.Regex)
		}
		e.Withheld = append(e.Withheld, w)
		keyed = keyed || r.Do == doHMAC
	}
	if keyed {
		key := s.saidBy("capture.hmac_key", s.capture.HMACKey, defaultHMACKey)
		e.HMACKey = &key
	}
	if t := s.tokens; t != nil {
		e.Tokens = &TokensOf{
			Issuer: s.saidBy("tokens.gateway_id", issuerPrefix+t.GatewayID, issuerPrefix+t.GatewayID),
			TTL:    s.saidBy("tokens.ttl", cmp.Or(t.TTL, defaultTTL).String(), defaultTTL.String()),
			Key:    s.saidBy("tokens.key", t.Key, defaultTokenKey),
		}
	}
}

// redactionAt is under what the origins have a [[redact]] table.
func redactionAt(i int) string { return "redact." + strconv.Itoa(i) }

// record writes what is explained about the record and about tokens.
func (e *Explanation) record() string {
	text := fmt.Sprintf("payloads in the record: %s, of those over %s bytes the digest\n", e.said(e.Capture), e.said(e.CaptureMax))
	if e.HMACKey != nil {
		text += fmt.Sprintf("key of redactions by hmac: %s\n", e.said(*e.HMACKey))
	}
	if t := e.Tokens; t != nil {
		text += fmt.Sprintf("tokens: issued by %s, each for %s, signed with %s\n", e.said(t.Issuer), e.said(t.TTL), e.said(t.Key))
	}
	return text
}

func (e *Explanation) withheld() [][]string {
	table := [][]string{{"WITHHELD BY", "WHAT", "OF", "HOW"}}
	for _, w := range e.Withheld {
		table = append(table, []string{w.Rule, strings.Join(w.Finds, ", "), cmp.Or(strings.Join(w.Methods, " "), "every method"), e.said(w.Do)})
	}
	return table
}

// audiences says whom the tokens are for that interceptors are called with.
func (e *Explanation) audiences() [][]string {
	table := [][]string{{"TOKENS FOR", "AUDIENCE"}}
	seen := map[string]bool{}
	for _, s := range e.Steps {
		if s.Audience != nil && !seen[s.Interceptor] {
			seen[s.Interceptor] = true
			table = append(table, []string{s.Interceptor, e.said(*s.Audience)})
		}
	}
	return table
}
