// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/ed25519"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/docket-audit/docket/internal/profile"
)

// A start with another key: the start event of each epoch names the key that its
// heads are signed with, and a crashed epoch is closed by one of another key.
func TestKeyIsReplaced(t *testing.T) {
	dir := t.TempDir()
	type said struct {
		Unmapped struct {
			Docket struct {
				Lifecycle string   `json:"lifecycle"`
				Key       string   `json:"key"`
				Closes    []closes `json:"closes"`
				Head      *struct {
					Key string `json:"key"`
				} `json:"head"`
			} `json:"docket"`
		} `json:"unmapped"`
	}
	keyOf := map[string]string{} // by epoch
	var keys []ed25519.PublicKey
	for range 3 {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, pub)
		e, err := New(Config{Dir: dir, Name: "gateway-0", Key: key, HeadEvery: 3})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := e.Emit(t.Context(), event("acme", "")).Spooled(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	_, records := readBack(t, dir)
	prev, epochs, heads := profile.Header{}, 0, 0
	for _, r := range records {
		h, err := profile.Check(r.raw)
		if err != nil {
			t.Fatal(err)
		}
		var s said
		if err := json.Unmarshal(r.raw, &s); err != nil {
			t.Fatal(err)
		}
		switch d := s.Unmapped.Docket; {
		case d.Lifecycle == "start":
			if d.Key != KeyID(keys[epochs]) {
				t.Errorf("epoch %d names key %q", epochs, d.Key)
			}
			keyOf[h.Epoch] = d.Key
			epochs++
		case d.Head != nil:
			heads++
			if d.Head.Key != keyOf[h.Epoch] {
				t.Errorf("a head of key %q in an epoch of key %q", d.Head.Key, keyOf[h.Epoch])
			}
			wantHead(t, keys[epochs-1], r.raw, profile.Header{Epoch: prev.Epoch, Sequence: prev.Sequence, Fingerprint: prev.Fingerprint})
		}
		prev = h
	}
	if epochs != 3 || heads < 9 {
		t.Errorf("%d epochs, %d heads", epochs, heads)
	}
}
