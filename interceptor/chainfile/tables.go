// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/strictoml"
)

// A Redaction is a [[redact]] table: what of the record is withheld, and how.
// Package activity has the rule that is made of it.
type Redaction struct {
	Name     string   // of its own; events name the rule by it
	Headers  []string // names of attributes that carry headers
	Pointers []string // JSON pointers into payloads; a "*" stands for any one token
	Regex    string   // RE2, tried on every text that is recorded; "" is none
	RPCs     []string // "service/method"; empty: of every method
	Do       string   // "drop", "mask" or "hmac"
}

// Capture is the [capture] table: what the record keeps of payloads, unless a
// binding says otherwise.
type Capture struct {
	Mode    string // "full", "digest" or "none"; "" when the file does not say
	Max     int    // size in bytes from which on a digest is kept; 0 when the file does not say
	HMACKey string // path of the key of redactions that do "hmac"; "" is DIR/keys/redact.key
}

// Tokens is the [tokens] table, or what an OpenShell file says in its place: by
// what interceptors know who calls them.
type Tokens struct {
	GatewayID string        // tokens are issued by "openshell-gateway:ID"
	Key       string        // path of the Ed25519 key; "" is DIR/keys/tokens.key
	TTL       time.Duration // 0 is 15 minutes
}

type redactTable struct {
	strictoml.Pos
	Name     string   `toml:"name"`
	Headers  []string `toml:"headers"`
	Pointers []string `toml:"pointers"`
	Regex    *string  `toml:"regex"`
	RPCs     []string `toml:"rpcs"`
	Do       string   `toml:"do"`
}

type captureTable struct {
	strictoml.Pos
	Mode    *string `toml:"mode"`
	Max     *int    `toml:"max"`
	HMACKey string  `toml:"hmac_key"`
}

type tokensTable struct {
	strictoml.Pos
	GatewayID string  `toml:"gateway_id"`
	Key       string  `toml:"key"`
	TTL       *string `toml:"ttl"`
}

// What a redaction does with what it finds.
var deeds = []string{"drop", "mask", doHMAC}

const doHMAC = "hmac"

// record reads what is said about the record: [capture] and [[redact]].
func (doc *document) record(name string, s *settings) error {
	if c := doc.Capture; c != nil {
		var err error
		if s.capture.Mode, err = captureWord(c.Pos, "mode", c.Mode); err != nil {
			return err
		}
		if s.capture.Max, err = captureSize(c.Pos, "max", c.Max); err != nil {
			return err
		}
		s.capture.HMACKey = besides(name, c.HMACKey)
		s.originsOf(c.Pos, "capture.", "mode", "max", "hmac_key")
	}
	for i := range doc.Redact {
		t := &doc.Redact[i]
		if slices.ContainsFunc(s.redactions, func(r Redaction) bool { return r.Name == t.Name }) {
			return t.Errorf("name", "events name the rule by it", "a second redaction named %q", t.Name)
		}
		r, err := t.redaction()
		if err != nil {
			return err
		}
		s.origins[redactionAt(i)] = t.At("do")
		s.redactions = append(s.redactions, r)
	}
	return nil
}

func (t *redactTable) redaction() (Redaction, error) {
	r := Redaction{Name: t.Name, Headers: t.Headers, Pointers: t.Pointers, RPCs: t.RPCs}
	if strings.TrimSpace(t.Name) == "" {
		return r, t.Errorf("name", "events name the rule by it", "a redaction has no name")
	}
	var err error
	if r.Do, err = oneOf(t.Pos, "do", t.Do, deeds...); err != nil {
		return r, err
	}
	if len(t.Headers)+len(t.Pointers) == 0 && t.Regex == nil {
		return r, t.Errorf("name", "give it headers, pointers or a regex", "redaction %q finds nothing", t.Name)
	}
	for _, h := range t.Headers {
		if !headerName.MatchString(h) {
			return r, t.Errorf("headers", "write header names in lower case, as gRPC has them", "%q names no header", h)
		}
	}
	for _, p := range t.Pointers {
		if !strings.HasPrefix(p, "/") || badEscape.MatchString(p) {
			return r, t.Errorf("pointers", `write "/spec/environment/*", with ~0 for ~ and ~1 for /`, "%q is no JSON pointer", p)
		}
	}
	if t.Regex != nil {
		re, err := regexp.Compile(*t.Regex)
		if err != nil {
			return r, t.Errorf("regex", "the syntax is RE2's", "regex of redaction %q: %v", t.Name, err)
		}
		if re.MatchString("") {
			return r, t.Errorf("regex", "let it match at least one letter", "regex of redaction %q matches the empty text", t.Name)
		}
		r.Regex = *t.Regex
	}
	for _, rpc := range t.RPCs {
		if _, err := parseRPC(rpc); err != nil {
			return r, t.Errorf("rpcs", `write "SERVICE/METHOD"`, "%v", err)
		}
	}
	return r, nil
}

var (
	headerName = regexp.MustCompile(`^[a-z0-9_.-]+$`)
	badEscape  = regexp.MustCompile(`~([^01]|$)`)
	// credential finds the headers that carry what nobody but the upstream needs.
	credential = regexp.MustCompile(`^(authorization|proxy-authorization|cookie|set-cookie|.*api[-_]?key.*|.*[-_]token|token)$`)
)

// checkHeader refuses what is no header, and what must not reach interceptors.
func checkHeader(p strictoml.Pos, header string) error {
	switch {
	case !headerName.MatchString(header):
		return p.Errorf("attributes", "write header names in lower case, as gRPC has them", "%q names no header", header)
	case credential.MatchString(header):
		return p.Errorf("attributes", "interceptors never see credentials", "header %q is a credential", header)
	}
	return nil
}

func captureWord(p strictoml.Pos, key string, word *string) (string, error) {
	if word == nil {
		return "", nil
	}
	return oneOf(p, key, *word, interceptor.CaptureFull, interceptor.CaptureDigest, interceptor.CaptureNone)
}

func captureSize(p strictoml.Pos, key string, n *int) (int, error) {
	switch {
	case n == nil:
		return 0, nil
	case *n < 1 || *n > maxMaxRequestBytes:
		return 0, p.Errorf(key, `to keep no payloads, say "digest" or "none"`, "%s = %d is not between 1 and %d", key, *n, maxMaxRequestBytes)
	}
	return *n, nil
}
