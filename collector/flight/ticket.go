// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/collector/authz"
)

// ticketLife is how long a ticket is good. What it takes is made anew by asking
// again.
const ticketLife = time.Hour

// A sealer makes tickets that hold a question and need no memory here. Only this
// process can open one, and only for the caller for whom it was sealed.
type sealer struct {
	aead cipher.AEAD
	now  func() time.Time
}

func newSealer(now func() time.Time) (*sealer, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead, now}, nil
}

// caller names who calls: two grants of the same name are of one caller, whatever
// else they say.
func caller(g *authz.Grant) string { return fmt.Sprintf("%q %q %q", g.By, g.Issuer, g.Subject) }

// seal makes a ticket for a question. No two are the same.
func (s *sealer) seal(g *authz.Grant, sql string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.now().Add(ticketLife).Unix()))
	return s.aead.Seal(nil, nil, append(b, sql...), []byte(caller(g)))
}

// open returns the question of a ticket that was sealed for the caller.
func (s *sealer) open(g *authz.Grant, ticket []byte) (sql string, err error) {
	b, err := s.aead.Open(nil, nil, ticket, []byte(caller(g)))
	if err != nil || len(b) < 8 {
		return "", status.Error(codes.NotFound, "no such ticket: it is another caller's, or older than this server; ask for a new one")
	}
	if until := time.Unix(int64(binary.BigEndian.Uint64(b)), 0); s.now().After(until) {
		return "", status.Error(codes.NotFound, "the ticket has expired; ask for a new one")
	}
	return string(b[8:]), nil
}
