// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// EmitterKey returns the key that signs the heads of hash chains, making it on
// the first start. Its files are in the encoding of package note, as the
// ledger's are: NAME.key is private, NAME.vkey beside it public.
func EmitterKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = newEmitterKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open emitter key: %w", err)
	}
	fields := strings.SplitN(strings.TrimSpace(string(b)), "+", 5)
	if len(fields) == 5 && fields[0] == "PRIVATE" && fields[1] == "KEY" {
		seed, err := base64.StdEncoding.DecodeString(fields[4])
		if err == nil && len(seed) == 1+ed25519.SeedSize && seed[0] == algEd25519 {
			return ed25519.NewKeyFromSeed(seed[1:]), nil
		}
	}
	return nil, &Error{path, errors.New("it holds no private key"), "it is one line that begins with PRIVATE+KEY+; move it away to have a new one made"}
}

// algEd25519 is package note's number of the algorithm.
const algEd25519 = 1

// EmitterVKey returns the public half of an emitter's key as a file holds it, and
// the id that heads name it by.
func EmitterVKey(key ed25519.PrivateKey) (id string, vkey []byte, err error) {
	pub, _ := key.Public().(ed25519.PublicKey) // always is
	sum := sha256.Sum256(pub)
	line, err := note.NewEd25519VerifierKey("docket-emitter/"+hex.EncodeToString(sum[:8]), pub)
	if err != nil {
		return "", nil, err
	}
	return hex.EncodeToString(sum[:16]), []byte(line + "\n"), nil
}

func newEmitterKey(path string) ([]byte, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	_, public, err := EmitterVKey(priv)
	if err != nil {
		return nil, err
	}
	name, rest, _ := strings.Cut(string(public), "+")
	hash, _, _ := strings.Cut(rest, "+")
	skey := fmt.Appendf(nil, "PRIVATE+KEY+%s+%s+%s\n", name, hash, base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, priv.Seed()...)))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// Public first: a private key whose public half is missing signs what
	// nobody can check.
	if err := ReplaceFile(strings.TrimSuffix(path, ".key")+".vkey", public, 0o644); err != nil {
		return nil, err
	}
	return skey, ReplaceFile(path, skey, 0o600)
}

// TokenKey returns the key that signs the tokens of a gateway, in PEM (PKCS #8),
// making it on the first start.
func TokenKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = newTokenKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open key of tokens: %w", err)
	}
	if block, _ := pem.Decode(b); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if key, ok := parsed.(ed25519.PrivateKey); err == nil && ok {
			return key, nil
		}
	}
	return nil, &Error{path, errors.New("it holds no Ed25519 key in PEM"), "make one with `openssl genpkey -algorithm ed25519`, or move it away to have one made"}
}

func newTokenKey(path string) ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return b, ReplaceFile(path, b, 0o600)
}

// SecretKey returns a secret of one line, making it on the first start.
func SecretKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			b, err = makeOnce(path, []byte(rand.Text()+rand.Text()+"\n"), 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open secret key: %w", err)
	}
	return bytes.TrimSpace(b), nil
}

// TokensKey is where the key is that signs the tokens of those who ask, made when the
// first is minted.
func TokensKey(dir string) string { return filepath.Join(dir, "keys", "tokens.hs256") }

// makeOnce writes a file that is not there, and returns what it holds: of two who make
// it at once, both return what one of them wrote.
func makeOnce(path string, b []byte, mode fs.FileMode) ([]byte, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return os.ReadFile(path)
	} else if err != nil {
		return nil, err
	}
	return b, syncDir(filepath.Dir(path))
}

// WriteFile writes a file whole or not at all, durably, in a directory that it makes
// for this user alone.
func WriteFile(path string, b []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return ReplaceFile(path, b, mode)
}

// Replace writes a file of the directory whole or not at all, durably.
func (d *Dir) Replace(b []byte, elem ...string) error {
	path := d.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return ReplaceFile(path, b, 0o644)
}

// Keep is Replace of a file whose name says what is in it: one that is there
// stays.
func (d *Dir) Keep(b []byte, elem ...string) error {
	if _, err := os.Stat(d.Join(elem...)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.Replace(b, elem...)
}

// Token returns the token that callers of the api listener need, making it on
// the first start.
func (d *Dir) Token() (string, error) {
	path := d.Join("keys", "api.token")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(rand.Text() + "\n")
		err = ReplaceFile(path, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("open API token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", &Error{path, errors.New("it is empty"), "remove it to have a new one made"}
	}
	return token, nil
}
