// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// emitterKeys returns the emitters' public keys of the directory by their
// names: of the emitter that runs beside the store, and of those elsewhere that
// somebody has copied here. A key counts for every emitter.
func (v *verifier) emitterKeys() map[string]ed25519.PublicKey {
	if v.keys != nil {
		return v.keys
	}
	v.keys = map[string]ed25519.PublicKey{}
	v.readEmitterKeys(emitterVKey)
	entries, err := os.ReadDir(filepath.Join(v.dir, filepath.FromSlash(emitterVKeys)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.unread(Place{File: emitterVKeys}, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".vkey") {
			v.readEmitterKeys(emitterVKeys + "/" + e.Name())
		}
	}
	return v.keys
}

// readEmitterKeys reads one file, which may not be there.
func (v *verifier) readEmitterKeys(file string) {
	raw, err := readShort(filepath.Join(v.dir, filepath.FromSlash(file)))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			v.unread(Place{File: file}, err)
		}
		return
	}
	lines := 0
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		if key, ok := parseEmitterKey(line); ok {
			v.keys[keyName(key)] = key
		} else {
			v.problem(Damage, Place{File: file}, "%.80q is no Ed25519 public key", line)
		}
	}
	if lines == 0 {
		v.problem(Damage, Place{File: file}, "it holds no key")
	}
}

// keyName names a public key as heads do: half its SHA-256, in hex.
func keyName(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// parseEmitterKey reads a key in the encoding of package note, or in plain
// base64 or hex.
func parseEmitterKey(line string) (ed25519.PublicKey, bool) {
	if _, err := note.NewVerifier(line); err == nil {
		line = strings.SplitN(line, "+", 3)[2]
		if b, err := base64.StdEncoding.DecodeString(line); err == nil && len(b) == 1+ed25519.PublicKeySize {
			return b[1:], true
		}
		return nil, false
	}
	for _, decode := range []func(string) ([]byte, error){base64.StdEncoding.DecodeString, hex.DecodeString} {
		if b, err := decode(line); err == nil && len(b) == ed25519.PublicKeySize {
			return b, true
		}
	}
	return nil, false
}

// noteEmitters says which emitters' signatures nobody could check, and which
// emitters have two keys.
func (v *verifier) noteEmitters() {
	keys, unchecked := map[string]map[string]bool{}, map[string]int{}
	for i := range v.report.Epochs {
		e := &v.report.Epochs[i]
		if e.Key == "" {
			continue
		}
		if keys[e.Emitter] == nil {
			keys[e.Emitter] = map[string]bool{}
		}
		keys[e.Emitter][e.Key] = true
		if !e.SignatureChecked {
			unchecked[e.Emitter]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if n := unchecked[name]; n > 0 {
			v.note("signatures of emitter %s were not checked, in epochs: %d; copy the keys/emitter.vkey of its data directory to %s/NAME.vkey here", safe(name), n, emitterVKeys)
		}
		if len(keys[name]) > 1 {
			v.note("%s", TwoKeys(name, slices.Sorted(maps.Keys(keys[name]))))
		}
	}
}

// TwoKeys says what it means that an emitter signs with several keys.
func TwoKeys(emitter string, keys []string) string {
	short := make([]string, len(keys))
	for i, k := range keys {
		short[i] = safe(k[:min(16, len(k))])
	}
	return "emitter " + safe(emitter) + " signs with the keys " + strings.Join(short, " and ") +
		": two emitters have one name, which [emitter] name tells apart, or its key was replaced"
}
