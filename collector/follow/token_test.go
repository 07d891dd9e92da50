// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

var testMark = storeMark("a store")

func positions(r *rapid.T) position {
	p := position{cursor: store.Cursor{
		Commit: rapid.Uint64().Draw(r, "commit"), Pos: rapid.SampledFrom([]uint32{0, 7, math.MaxUint32}).Draw(r, "pos"),
	}, ahead: sets{}}
	for range rapid.IntRange(0, 4).Draw(r, "epochs") {
		epoch := storetest.NewUID()
		for range rapid.IntRange(1, 5).Draw(r, "sequences") {
			p.ahead.add(identity{epoch, rapid.Int64Range(1, profile.MaxSequence).Draw(r, "sequence")})
		}
	}
	return p
}

func TestToken(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := positions(r)
		token := encodeToken(testMark, &p)
		got, err := parseToken(testMark, token)
		if err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(p, got, cmp.AllowUnexported(position{}), cmpopts.EquateEmpty()); d != "" {
			r.Errorf("position (-want +got):\n%s", d)
		}
		if at, err := Place(token); err != nil || at != p.cursor {
			r.Errorf("place %+v, %v, want %+v", at, err, p.cursor)
		}
		if _, err := parseToken(storeMark("another"), token); !errors.Is(err, ErrToken) {
			r.Errorf("in another store: %v", err)
		}
		// Whatever is changed, it is none any more.
		i := rapid.IntRange(0, len(token)-1).Draw(r, "at")
		c := rapid.SampledFrom([]byte("ABCxyz019-_ \n=.")).Draw(r, "by")
		if changed := token[:i] + string(c) + token[i+1:]; changed != token {
			if _, err := parseToken(testMark, changed); !errors.Is(err, ErrToken) {
				r.Errorf("changed at %d: %v", i, err)
			}
			if _, err := Place(changed); !errors.Is(err, ErrToken) {
				r.Errorf("place of one that was changed at %d: %v", i, err)
			}
		}
		if _, err := parseToken(testMark, token[:i]); !errors.Is(err, ErrToken) {
			r.Errorf("cut off at %d: %v", i, err)
		}
	})
}

// checked makes a token of a body, with the check that it should have.
func checked(body []byte) string {
	b := append([]byte{tokenVersion}, testMark[:]...)
	b = append(b, body...)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// A token of the largest window that a hub keeps is within the bound, and what
// is longer is refused before it is read.
func TestTokenBounds(t *testing.T) {
	p := position{cursor: endOf(math.MaxUint64), ahead: sets{}}
	for i := range 1024 {
		epoch := storetest.NewUID()
		for j := range maxRuns / 1024 {
			p.ahead.add(identity{epoch, profile.MaxSequence - int64(i) - 1000*int64(j)})
		}
	}
	token := encodeToken(testMark, &p)
	if _, err := parseToken(testMark, token); err != nil || len(token) > MaxToken {
		t.Errorf("%d bytes: %v", len(token), err)
	}
	if _, err := parseToken(testMark, strings.Repeat("A", MaxToken+1)); !errors.Is(err, ErrToken) {
		t.Errorf("a giant: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	p := position{cursor: store.Cursor{Commit: 3, Pos: 4}, ahead: sets{"0198d2a4-0000-7000-8000-000000000001": {{First: 1, Last: 4}, {First: 6, Last: 6}}}}
	whole, _ := base64.RawURLEncoding.DecodeString(encodeToken(testMark, &p))
	f.Add(whole[9:len(whole)-4], true)
	f.Add([]byte{0, 0, 0}, true)
	f.Add([]byte{0x80, 0, 0, 0}, true)
	f.Add([]byte(encodeToken(testMark, &p)), false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		token := string(b)
		if sealed {
			token = checked(b)
		}
		p, err := parseToken(testMark, token)
		if err != nil {
			var e *TokenError
			if !errors.As(err, &e) || e.Reason == "" || e.Hint() == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		for epoch, set := range p.ahead {
			if len(set) == 0 || !profile.IsUID(epoch) {
				t.Fatalf("epoch %q with %v", epoch, set)
			}
		}
		if again := encodeToken(testMark, &p); again != token {
			t.Fatalf("a position with two tokens: %q and %q", token, again)
		}
	})
}
