// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxToken is the length of a token in bytes from which on it is not read.
	MaxToken = 8 << 10
	// maxSubject and maxKeyID bound what goes into events and look-ups.
	maxSubject = 256
	maxKeyID   = 256
)

// Claims are what a token says. Where they come from [Peek], nobody has vouched for
// them.
type Claims struct {
	Algorithm string `json:"alg"`          // of the header
	KeyID     string `json:"kid,omitzero"` // of the header; "" is none

	Subject      string    `json:"sub"`
	Issuer       string    `json:"iss,omitzero"`
	Audience     []string  `json:"aud"`
	Capabilities []string  `json:"cap"`
	Prefixes     []string  `json:"prefixes"`
	Issued       time.Time `json:"iat,omitzero"`
	NotBefore    time.Time `json:"nbf,omitzero"`
	Expires      time.Time `json:"exp,omitzero"`
}

// Peek reads a token without verifying anything of it, to show what it says.
func Peek(token string) (*Claims, error) {
	h, payload, refusal := split(token)
	if refusal != nil {
		return nil, refusal
	}
	c, err := readClaims(payload)
	if err != nil {
		return nil, nobody(ReasonClaims, err.Error())
	}
	c.Algorithm, c.KeyID = h.Algorithm, h.KeyID
	return c, nil
}

// header is the part of a token's header that is looked at. Keys that a token
// brings along, or says where to fetch, are not: who made it would choose by what
// it is judged.
type header struct {
	Algorithm string         `json:"alg"`
	KeyID     string         `json:"kid"`
	Type      string         `json:"typ"`
	Critical  jsontext.Value `json:"crit"`
	Base64    jsontext.Value `json:"b64"`
}

const advicePieces = "a token is what `docket token` prints, or your issuer's: three parts with dots between them, in base64url"

// split takes a token apart. Its encoding is taken strictly: there is one spelling
// of each token, and a name that an object has twice has no value.
func split(token string) (h header, payload []byte, refusal *Error) {
	if len(token) > MaxToken {
		return h, nil, nobody(ReasonTooLarge, fmt.Sprintf("a token has at most %d bytes: ask for one with fewer prefixes", MaxToken))
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return h, nil, nobody(ReasonMalformed, advicePieces)
	}
	var decoded [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") { // which the decoder passes over
			return h, nil, nobody(ReasonMalformed, advicePieces)
		}
		decoded[i] = b
	}
	if err := json.Unmarshal(decoded[0], &h); err != nil {
		return h, nil, nobody(ReasonMalformed, "its header is no JSON object of a token")
	}
	switch {
	case h.Critical != nil || h.Base64 != nil:
		return h, nil, nobody(ReasonMalformed, "its header has crit or b64, which are not supported")
	case h.Type != "" && !strings.EqualFold(h.Type, "JWT") && !strings.EqualFold(h.Type, "at+jwt"):
		return h, nil, nobody(ReasonMalformed, "its header says another type than JWT or at+jwt")
	case len(h.KeyID) > maxKeyID:
		return h, nil, nobody(ReasonMalformed, "its kid is too long")
	}
	return h, decoded[1], nil
}

// list is a claim that is one text or several, as aud is.
type list []string

func (l *list) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		*l = list{""}
		return json.UnmarshalDecode(d, &(*l)[0])
	}
	return json.UnmarshalDecode(d, (*[]string)(l))
}

// moment is a NumericDate: seconds since 1970, with or without a fraction.
type moment struct{ time.Time }

func (m *moment) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var s float64
	if err := json.UnmarshalDecode(d, &s); err != nil {
		return err
	}
	const year9999 = 253402300799
	if s < 0 || s > year9999 {
		return errors.New("no time")
	}
	whole, part := math.Modf(s)
	m.Time = time.Unix(int64(whole), int64(part*1e9)).UTC()
	return nil
}

// readClaims reads what is signed. The error names the claim and quotes nothing.
func readClaims(payload []byte) (*Claims, error) {
	var raw struct {
		Subject      string   `json:"sub"`
		Issuer       string   `json:"iss"`
		Audience     list     `json:"aud"`
		Capabilities []string `json:"cap"`
		Prefixes     []string `json:"prefixes"`
		Issued       moment   `json:"iat"`
		NotBefore    moment   `json:"nbf"`
		Expires      moment   `json:"exp"`
	}
	if err := json.Unmarshal(payload, &raw); err != nil {
		var wrong *json.SemanticError
		if errors.As(err, &wrong) {
			claim, _, _ := strings.Cut(strings.TrimPrefix(string(wrong.JSONPointer), "/"), "/")
			return nil, fmt.Errorf("the claim %s is not what it must be", quoted(claim))
		}
		return nil, errors.New("the claims are no JSON object, or a name is twice in it")
	}
	return &Claims{
		Subject: raw.Subject, Issuer: raw.Issuer, Audience: raw.Audience, Capabilities: raw.Capabilities, Prefixes: raw.Prefixes,
		Issued: raw.Issued.Time, NotBefore: raw.NotBefore.Time, Expires: raw.Expires.Time,
	}, nil
}
