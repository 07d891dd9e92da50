// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func (h *house) publicKey() ed25519.PublicKey { return h.signer.Public().(ed25519.PublicKey) }

// newSigner gives the house's emitters another key.
func (h *house) newSigner(seed byte) {
	h.signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func (h *house) keepKey(file string) {
	h.write(file, []byte(base64.StdEncoding.EncodeToString(h.publicKey())+"\n"))
}

// wantLine wants code 0 of both kinds of verification and a line for an epoch.
func (h *house) wantLine(c *hashChain, want string) {
	h.t.Helper()
	for _, deep := range []bool{false, true} {
		r := h.run(Options{Deep: deep})
		if got := lines(r)[c.epoch]; got != want || r.Code() != CodeFine {
			h.t.Errorf("deep %v: %q, want %q; problems %v", deep, got, want, r.Problems)
		}
	}
}

func (h *house) noted(phrases ...string) bool {
	h.t.Helper()
	return slices.ContainsFunc(h.run(Options{}).Notes, func(n string) bool {
		return !slices.ContainsFunc(phrases, func(s string) bool { return !strings.Contains(n, s) })
	})
}

// Who may publish can write a stop event under any name. Without its emitter's
// key nobody can tell, and the line of the epoch says so.
func TestStopOfAnUnknownKey(t *testing.T) {
	h := newHouse(t)
	h.newSigner(9)
	c := h.begin("acme", "gw-7")
	h.outcomes(c, 2)
	h.stop(c)
	h.commit()
	short := keyName(h.publicKey())[:16]
	h.wantLine(c, "4 of 4, closed; the signature was not checked: no public key "+short+" of emitter gw-7 here")
	if !h.noted("signatures of emitter gw-7 were not checked, in epochs: 1", "keys/emitters/NAME.vkey") {
		t.Error("no note says where the key goes")
	}
	j, err := json.Marshal(h.run(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"signature_checked":false`, `"caveat":"the signature was not checked`, `"key":"` + keyName(h.publicKey())} {
		if !strings.Contains(string(j), want) {
			t.Errorf("no %s in %s", want, j)
		}
	}

	h.keepKey("keys/emitters/gw-7.vkey")
	h.wantLine(c, "4 of 4, closed")
	if h.noted("not checked") {
		t.Error("noted although the key is there")
	}
	h.write("keys/emitters/README", []byte("no key"))
	h.wantLine(c, "4 of 4, closed")
	h.write("keys/emitters/bad.vkey", []byte("no key"))
	h.expect(Options{}, "damage", "keys/emitters/bad.vkey", "no Ed25519 public key")
}

// A stop event without a signed head closes its epoch by its word alone.
func TestUnsignedStop(t *testing.T) {
	h := newHouse(t)
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 1)
	h.state(c) // signed, but not of the end
	h.lifecycle(c, 4, map[string]any{"lifecycle": "stop"})
	h.commit()
	h.wantLine(c, "4 of 4, closed; its end is not signed")
}

// A stop event whose signature is wrong under a key that is here is damage,
// whichever file the key is in.
func TestForgedStop(t *testing.T) {
	h := newHouse(t)
	c := h.begin("acme", "gw-0")
	h.newSigner(9)
	h.keepKey("keys/emitters/gw-7.vkey")
	d := h.begin("acme", "gw-7")
	for _, c := range []*hashChain{c, d} {
		forged := h.head(c)
		forged["signature"] = base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
		h.lifecycle(c, 4, map[string]any{"lifecycle": "stop", "head": forged})
	}
	h.commit()
	h.expect(Options{}, "signature", c.epoch, "sequence 1 is wrong")
	h.expect(Options{}, "signature", d.epoch, "sequence 1 is wrong")
}

// What a living owner's own emitter has begun in this start has no end yet.
func TestStillOpen(t *testing.T) {
	h := newHouse(t)
	old := h.begin("acme", "gw-0") // of an earlier start, whose WAL was lost
	h.state(old)
	h.now += 1000
	run, err := json.Marshal(map[string]any{"emitter": "gw-0", "started": time.UnixMilli(h.now)})
	if err != nil {
		t.Fatal(err)
	}
	h.write(runFile, run)
	fresh := h.begin("acme", "gw-0")
	signed := h.begin("globex", "gw-0")
	h.state(signed)
	foreign := h.begin("acme", "gw-1")
	h.commit()
	h.wantLine(fresh, "1 of 1 to the last one stored; end unknown: still open")
	h.wantLine(signed, "2 of 2 to the signed head; end unknown: still open")
	h.wantLine(foreign, "1 of 1 to the last one stored; end unknown")
	h.wantLine(old, "2 of 2 to the signed head; end unknown")
	h.close()
	h.wantLine(signed, "2 of 2 to the signed head; end unknown")
}

// Two emitters of one name are told apart by their keys.
func TestTwoKeysOfOneEmitter(t *testing.T) {
	h := newHouse(t)
	first := keyName(h.publicKey())[:16]
	a := h.begin("acme", "host")
	h.stop(a)
	h.commit()
	if h.noted("emitter host") {
		t.Error("one key is noted")
	}
	h.newSigner(9)
	b := h.begin("acme", "host")
	h.state(b)
	h.commit()
	if !h.noted("emitter host signs with the keys", first, keyName(h.publicKey())[:16], "[emitter] name") {
		t.Errorf("notes %v", h.run(Options{}).Notes)
	}
}

func TestNoStore(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		hint  string
	}{
		"empty":        {[]string{"FORMAT"}, "docket up"},
		"of a gateway": {[]string{"FORMAT", "wal/0001.wal", "keys/emitter.vkey"}, "docket-gateway sends its events on"},
	} {
		h := &house{t: t, dir: filepath.Join(t.TempDir(), "data")}
		for _, f := range c.files {
			h.write(f, []byte("1\n"))
		}
		r, err := Run(t.Context(), h.dir, Options{})
		var hinted interface{ Hint() string }
		if !errors.Is(err, ErrNoStore) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.hint) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		// A kept checkpoint knows that there was one.
		if r, err := Run(t.Context(), h.dir, Options{Against: []byte("x\n1\nAA==\n\n— x AAAAAAAA\n")}); err != nil || r.Code() != CodeFound {
			t.Errorf("%s, against a checkpoint: %+v, %v", name, r, err)
		}
	}
}

// The advice names the key as the configuration has it.
func TestKeysTogether(t *testing.T) {
	h := newHouse(t)
	if err := os.WriteFile(filepath.Join(h.dir, "keys", "emitter.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !h.noted("lie in one directory", "[ledger] key") {
		t.Errorf("notes %v", h.run(Options{}).Notes)
	}
}
