// SPDX-License-Identifier: Apache-2.0

package chainfile

import "time"

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
