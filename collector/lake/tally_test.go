// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/internal/profile"
)

// The roots are those of RFC 6962.
func TestRoots(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	var tally Tally
	trees := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := trees.NewEmptyRange(0)
	for range 300 {
		leaf := make([]byte, 32)
		if _, err := random.Read(leaf); err != nil {
			t.Fatal(err)
		}
		if err := tally.Add(profile.Header{Fingerprint: hex.EncodeToString(leaf)}); err != nil {
			t.Fatal(err)
		}
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			t.Fatal(err)
		}
		want, err := tree.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := tally.Counts()
		if err != nil || len(counts) != 1 || counts[0].Root != hex.EncodeToString(want) {
			t.Fatalf("%v, %v instead of %x", counts, err, want)
		}
	}
	for _, bad := range []string{"", "00", hex.EncodeToString(bytes.Repeat([]byte{1}, 33)), "g" + hex.EncodeToString(make([]byte, 32))[1:]} {
		if err := tally.Add(profile.Header{Fingerprint: bad}); err == nil {
			t.Errorf("the fingerprint %q was counted", bad)
		}
	}
}

// The number of a day is that of its name.
func TestDayOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(-62135596800000, 253402300799999).Draw(t, "time")
		b := a + rapid.Int64Range(-2*msPerDay, 2*msPerDay).Draw(t, "later")
		if Day(dayOf(a)*msPerDay) != Day(a) || (dayOf(a) == dayOf(b)) != (Day(a) == Day(b)) {
			t.Fatalf("%d is day %d, %s; %d is day %d, %s", a, dayOf(a), Day(a), b, dayOf(b), Day(b))
		}
	})
}
