// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func sign(t *testing.T, name, text string) (raw []byte, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err = note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return raw, vkey
}

func TestOpenCheckpoint(t *testing.T) {
	root := sha256.Sum256([]byte("root"))
	b64 := base64.StdEncoding.EncodeToString(root[:])
	good := fmt.Sprintf("log/1\n7\n%s\n", b64)
	raw, vkey := sign(t, "log/1", good)
	_, stranger := sign(t, "log/1", good)

	cp, err := OpenCheckpoint(raw, vkey+"\n")
	if err != nil || cp != (Checkpoint{"log/1", 7, root}) {
		t.Fatalf("OpenCheckpoint: %+v, %v", cp, err)
	}
	if cp, err := ParseCheckpoint(raw); err != nil || cp.Size != 7 {
		t.Fatalf("ParseCheckpoint: %+v, %v", cp, err)
	}
	if _, err := OpenCheckpoint(raw, stranger); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := OpenCheckpoint([]byte(strings.Replace(string(raw), "\n7\n", "\n8\n", 1)), vkey); !errors.Is(err, ErrBadSignature) {
		t.Errorf("changed size: %v", err)
	}
	if _, err := OpenCheckpoint(raw, "nonsense"); err == nil {
		t.Error("a nonsensical key is accepted")
	}
	elsewhere, ekey := sign(t, "log/2", good)
	if _, err := OpenCheckpoint(elsewhere, ekey); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("origin of another log: %v", err)
	}
	for _, text := range []string{
		"log/1\n", "log/1\n7\n", "\n7\n" + b64 + "\n", "log/1\n07\n" + b64 + "\n",
		"log/1\n-1\n" + b64 + "\n", "log/1\n7\nAAAA\n", "log/1\n7\n" + b64[:43] + "\n",
	} {
		raw, vkey := sign(t, "log/1", text)
		if _, err := OpenCheckpoint(raw, vkey); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, raw := range []string{"", "log/1\n7\n" + b64 + "\n", "\n\n"} {
		if _, err := ParseCheckpoint([]byte(raw)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

// slowRoot is RFC 6962 section 2.1, word for word.
func slowRoot(leaves [][]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	l, r := slowRoot(leaves[:k]), slowRoot(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func TestTree(t *testing.T) {
	var leaves [][]byte
	var tree Tree
	nodes := 0
	tree.Node = func(uint, uint64, []byte) { nodes++ }
	for i := range 300 {
		if tree.Size() != uint64(i) || tree.Root() != slowRoot(leaves) {
			t.Fatalf("root of %d leaves is wrong", i)
		}
		leaf := fmt.Appendf(nil, "leaf %d", i)
		leaves = append(leaves, leaf)
		tree.Add(leaf)
	}
	// Perfect subtrees: a leaf each, and the number of carries beside them.
	want := 0
	for n := 300; n > 0; n /= 2 {
		want += n
	}
	if nodes != want {
		t.Errorf("%d nodes told, want %d", nodes, want)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte("log/1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cp, err := ParseCheckpoint(raw)
		if err != nil {
			return
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", cp.Origin, cp.Size, base64.StdEncoding.EncodeToString(cp.Root[:]))
		if !strings.HasPrefix(string(raw), strings.TrimSuffix(text, "\n")) {
			t.Errorf("%q reads as %q", raw, text)
		}
	})
}

// No bit of a checkpoint can be another one. The last letters of a signature have
// bits that a decoder passes over, whether they matter depends on the letter: so
// many are signed.
func TestEveryBitOfACheckpoint(t *testing.T) {
	root := sha256.Sum256([]byte("root"))
	text := fmt.Sprintf("log/1\n7\n%s\n", base64.StdEncoding.EncodeToString(root[:]))
	for range 20 {
		raw, vkey := sign(t, "log/1", text)
		for i := range 8 * len(raw) {
			raw[i/8] ^= 1 << (i % 8)
			if cp, err := OpenCheckpoint(raw, vkey); err == nil {
				t.Errorf("bit %d of byte %d of %q: %+v", i%8, i/8, raw, cp)
			}
			raw[i/8] ^= 1 << (i % 8)
		}
		if _, err := OpenCheckpoint(raw, vkey); err != nil {
			t.Fatal(err)
		}
	}
}
