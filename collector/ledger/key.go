// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrKeyLost says that the public key is there and the private one is not. A
// new key in its place would make every kept checkpoint worthless, so that it
// takes a human to decide.
var ErrKeyLost = errors.New("the ledger's private key is gone")

// ErrOtherKey says that a key is not the one that the log was signed with.
var ErrOtherKey = errors.New("the ledger is signed by another key")

// An Error says what could not be done with which file.
type Error struct {
	Op   string
	Path string
	Err  error
	hint string
}

func (e *Error) Error() string { return e.Op + " " + e.Path + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint tells a human what to do; empty when there is nothing to say.
func (e *Error) Hint() string { return e.hint }

// A Key signs checkpoints. Its name, which is the origin of the log, is made of
// the public key: "docket/" and the first 16 hex digits of its SHA-256.
type Key struct {
	signer note.Signer
	vkey   string

	path, vkeyPath string
	// unwritten is the private key as it goes into the file, while that is not
	// there: a key is written only where a log begins with it. Owned by Open.
	unwritten []byte
	// known says that the public half is there: so a log was begun. Owned by
	// Open.
	known bool
}

// Verifier returns the public half, in the encoding of package note.
func (k *Key) Verifier() string { return k.vkey }

// Origin returns the name of the key and of its log.
func (k *Key) Origin() string { return k.signer.Name() }

// OpenKey reads the private key at path. When neither file is there it makes
// one; [Open] writes it, readable by its owner only, and the public half to
// vkeyPath, unless there is something that was signed with another.
//
// It fails with [ErrKeyLost] when only the public half is there, and with
// [ErrOtherKey] when the two do not belong together.
func OpenKey(path, vkeyPath string) (*Key, error) {
	have, verr := os.ReadFile(vkeyPath)
	if verr != nil && !errors.Is(verr, fs.ErrNotExist) {
		return nil, &Error{"read ledger verifier key", vkeyPath, verr, ""}
	}
	var unwritten []byte
	skey, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if verr == nil {
			return nil, keyLost(path, vkeyPath)
		}
		if unwritten, err = makeKey(); err != nil {
			return nil, &Error{"create ledger key", path, err, ""}
		}
		skey = unwritten
	}
	if err != nil {
		return nil, &Error{"open ledger key", path, err, "the key belongs to the user that runs docket"}
	}
	k, err := parseKey(strings.TrimSpace(string(skey)))
	if err != nil {
		return nil, &Error{"open ledger key", path, err, "it is one line that begins with PRIVATE+KEY+"}
	}
	if verr == nil && strings.TrimSpace(string(have)) != k.vkey {
		return nil, &Error{"check ledger verifier key", vkeyPath, ErrOtherKey, "it is not the public half of the private key in use; restore the one that is, or move this file away to have it written anew"}
	}
	k.path, k.vkeyPath, k.unwritten, k.known = path, vkeyPath, unwritten, verr == nil
	return k, nil
}

func keyLost(path, vkeyPath string) error {
	return &Error{
		"open ledger key", path, ErrKeyLost,
		"restore " + path + "; or, to begin a new ledger with a new key, move " + vkeyPath + " away and start once with --adopt-ledger",
	}
}

// write makes a new key durable, before anything is signed with it.
func (k *Key) write() error {
	if k.unwritten == nil {
		return nil
	}
	if err := writeNew(k.path, k.unwritten, 0o600); err != nil {
		return &Error{"create ledger key", k.path, err, ""}
	}
	k.unwritten = nil
	return nil
}

// publish writes the public half, once there is a checkpoint: where the public
// half is, a ledger was.
func (k *Key) publish() error {
	if k.known || k.vkeyPath == "" {
		return nil
	}
	if err := writeNew(k.vkeyPath, []byte(k.vkey+"\n"), 0o644); err != nil {
		return &Error{"write ledger verifier key", k.vkeyPath, err, ""}
	}
	k.known = true
	return nil
}

func makeKey() ([]byte, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(pub)
	vkey, err := note.NewEd25519VerifierKey("docket/"+hex.EncodeToString(id[:8]), pub)
	if err != nil {
		return nil, err
	}
	// The private encoding differs from the public one by a prefix and by the
	// seed in the public key's place; the byte before either names Ed25519.
	name, rest, _ := strings.Cut(vkey, "+")
	hash, _, _ := strings.Cut(rest, "+")
	return fmt.Appendf(nil, "PRIVATE+KEY+%s+%s+%s\n", name, hash,
		base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, priv.Seed()...))), nil
}

const algEd25519 = 1

func parseKey(skey string) (*Key, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	// NewSigner has checked the form: PRIVATE, KEY, name, hash, base64, which may
	// have a plus of its own.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(skey, "+", 5)[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, errors.New("malformed seed")
	}
	pub := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), pub)
	if err != nil {
		return nil, err
	}
	return &Key{signer: signer, vkey: vkey}, nil
}

// writeNew makes a file whole or not at all, durable when it returns, and
// leaves an existing one alone.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	// A link, unlike a rename, does not replace.
	return writeAside(path, data, mode, os.Link)
}

// writeAside makes a file whole and durable beside path, and gives it its name.
func writeAside(path string, data []byte, mode fs.FileMode, give func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.Remove(f.Name()); !errors.Is(rerr, fs.ErrNotExist) { // as it is after a rename
			err = errors.Join(err, rerr)
		}
	}()
	_, werr := f.Write(data)
	if err := errors.Join(werr, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := give(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
