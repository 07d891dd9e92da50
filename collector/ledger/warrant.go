// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrNoWarrant says that a statement takes events away, and that the ledger's key
// has signed neither for it nor a warrant of it.
var ErrNoWarrant = errors.New("events leave by it without a warrant of the ledger's key")

// A warrant is a note by the ledger's key that the statement with a digest may take
// events away. It is signed before the statement is put, so that the one that a
// crash kept from the log is told from one that somebody else wrote. The statement
// says which it follows, and so is good for one place in one history.
//
// Its second line is no number, so that it is never taken for a checkpoint.
const (
	warrantFirst  = " and what may leave\n"
	warrantSecond = "statement "
)

func warrantText(origin string, digest [32]byte) string {
	return origin + warrantFirst + warrantSecond + hex.EncodeToString(digest[:]) + "\n"
}

// OpenWarrant reads a warrant, and verifies that the owner of vkey, a verifier key
// in the encoding of package note, signed it. It returns the SHA-256 of the
// statement that it is of.
func OpenWarrant(raw []byte, vkey string) (digest [32]byte, _ error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return digest, fmt.Errorf("read verifier key: %w", err)
	}
	n, err := note.Open(raw, note.VerifierList(v))
	if err != nil {
		return digest, fmt.Errorf("read warrant: %w", err)
	}
	// A decoder takes several spellings of one signature, and a warrant has one.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return digest, fmt.Errorf("read warrant: signature: %w", err)
	}
	named, ok := strings.CutPrefix(n.Text, v.Name()+warrantFirst+warrantSecond)
	b, err := hex.DecodeString(strings.TrimSuffix(named, "\n"))
	if !ok || err != nil || len(b) != len(digest) || n.Text != warrantText(v.Name(), [32]byte(b)) {
		return digest, errors.New("read warrant: the note says something else")
	}
	return [32]byte(b), nil
}

// Warrant signs that a statement may take events away, durably, before it is put.
// It stands until the next one; [Ledger.Add] is to follow before that.
func (l *Ledger) Warrant(statement []byte) error {
	digest := sha256.Sum256(statement)
	raw, err := note.Sign(&note.Note{Text: warrantText(l.key.Origin(), digest)}, l.key.signer)
	if err != nil {
		return &Error{"sign warrant", l.warrantPath, err, ""}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return &Error{"sign warrant", l.warrantPath, ErrClosed, ""}
	default:
	}
	if l.warrantPath != "" {
		if err := writeAside(l.warrantPath, raw, 0o644, os.Rename); err != nil {
			return &Error{"write warrant", l.warrantPath, err, ""}
		}
	}
	l.warranted = digest
	return nil
}

// readWarrant returns what the last warrant was of, nothing where there is none
// that holds.
func readWarrant(path string, key *Key) (digest [32]byte, _ error) {
	if path == "" {
		return digest, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return digest, nil
	}
	if err != nil {
		return digest, &Error{"read warrant", path, err, ""}
	}
	if digest, err = OpenWarrant(raw, key.vkey); err != nil {
		return [32]byte{}, nil //nolint:nilerr // by whom else it may be, it lets nothing go
	}
	return digest, nil
}

// mayAdd looks whether a statement that nobody has signed for may be signed for.
func (o *Options) mayAdd(statement []byte, warranted [32]byte) error {
	if o.Removes == nil {
		return nil
	}
	removes, err := o.Removes(statement)
	if err != nil {
		return fmt.Errorf("read statement: %w", err)
	}
	if digest := sha256.Sum256(statement); removes && !bytes.Equal(digest[:], warranted[:]) {
		return ErrNoWarrant
	}
	return nil
}
