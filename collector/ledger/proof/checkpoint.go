// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A reader of checkpoints takes one of three decisions.
var (
	// ErrMalformed says that the bytes are no checkpoint.
	ErrMalformed = errors.New("malformed checkpoint")
	// ErrUnknownKey says that the checkpoint is not signed by the given key, but
	// by another, so that nothing is known about it.
	ErrUnknownKey = errors.New("checkpoint signed by another key")
	// ErrBadSignature says that a signature in the name of the given key is
	// wrong: the text was changed after it was signed.
	ErrBadSignature = errors.New("checkpoint signature is wrong")
)

// A Checkpoint says that a log had a size and a root.
type Checkpoint struct {
	Origin string // name of the log, and of its key
	Size   uint64
	Root   [32]byte
}

// ParseCheckpoint reads a checkpoint without looking at its signatures.
func ParseCheckpoint(raw []byte) (Checkpoint, error) {
	// A note separates text and signatures by a blank line; the text may have
	// extension lines behind the first three.
	text, _, ok := strings.Cut(string(raw), "\n\n")
	if !ok {
		return Checkpoint{}, fmt.Errorf("%w: no signatures", ErrMalformed)
	}
	return parseText(text)
}

// OpenCheckpoint reads a checkpoint and verifies that the owner of vkey, a
// verifier key in the encoding of package note, signed it.
func OpenCheckpoint(raw []byte, vkey string) (Checkpoint, error) {
	v, err := verifier(vkey)
	if err != nil {
		return Checkpoint{}, err
	}
	n, err := note.Open(raw, note.VerifierList(v))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return Checkpoint{}, fmt.Errorf("%w than %s", ErrUnknownKey, keyID(v))
	case errors.As(err, &invalid):
		return Checkpoint{}, fmt.Errorf("%w (key %s)", ErrBadSignature, keyID(v))
	case err != nil:
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	// A decoder takes several spellings of one signature, and a checkpoint has one.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	cp, err := parseText(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	// The key's name is the log's name: else one key could vouch for a
	// checkpoint that calls itself another log.
	if cp.Origin != v.Name() {
		return Checkpoint{}, fmt.Errorf("%w: it is of log %q, signed by %s", ErrUnknownKey, cp.Origin, keyID(v))
	}
	return cp, nil
}

func verifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("read verifier key: %w", err)
	}
	return v, nil
}

// Alone returns a checkpoint with the signature by vkey as the only one, which
// it verifies: what others cosigned says nothing to who has this key alone.
func Alone(raw []byte, vkey string) ([]byte, error) {
	if _, err := OpenCheckpoint(raw, vkey); err != nil {
		return nil, err
	}
	v, err := verifier(vkey)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(raw, note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	// Base64 has several spellings of one signature. There is one such: note
	// keeps no second by a key.
	signature, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return []byte(n.Text + "\n" + encodeSignature(v.Name(), signature)), nil
}

// encodeSignature is a line of a note as package note writes it.
func encodeSignature(name string, signature []byte) string {
	return "— " + name + " " + base64.StdEncoding.EncodeToString(signature) + "\n"
}

func keyID(v note.Verifier) string { return fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()) }

func parseText(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 3 || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("%w: want the lines origin, size, root", ErrMalformed)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: size %q", ErrMalformed, lines[1])
	}
	// A decoder passes over line breaks, and a checkpoint has one form.
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 || base64.StdEncoding.EncodeToString(root) != lines[2] {
		return Checkpoint{}, fmt.Errorf("%w: root %q", ErrMalformed, lines[2])
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: [32]byte(root)}, nil
}
