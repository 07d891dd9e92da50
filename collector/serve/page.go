// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/collector/store"
)

const (
	defaultPage = 100
	maxPage     = 1000
	// maxPageBytes is where a page ends early: below what clients of gRPC take in
	// one message unless they are told to take more.
	maxPageBytes = 3 << 20
)

// pageSize reads the size of a page.
func pageSize(n int32) (int, error) {
	switch {
	case n < 0:
		return 0, invalidf("page_size", "%d is not a number of events", n)
	case n == 0:
		return defaultPage, nil
	}
	return min(int(n), maxPage), nil
}

// A page token is the cursor of the page's last event, and a digest of the
// question: the next page of another question is none.
func pageToken(c store.Cursor, question string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%s", c.Commit, c.Pos, question))
}

func parsePageToken(t, question string) (store.Cursor, error) {
	var c store.Cursor
	var of string
	b, err := base64.RawURLEncoding.DecodeString(t)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d.%d.%s", &c.Commit, &c.Pos, &of)
	}
	if err != nil || pageToken(c, of) != t {
		return c, invalidf("page_token", "it is none that this server gave")
	}
	if of != question {
		return c, invalidf("page_token", "it is of another question; repeat that, or leave it out")
	}
	return c, nil
}

// questionOf returns a digest of a request without its page.
func questionOf(r proto.Message) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6]), nil
}
