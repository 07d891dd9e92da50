// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What a reader of proofs is told. Every error of [Verify] is one of the two,
// with the reason.
var (
	// ErrNoProof says that the bytes are no proof of an event, or not written as
	// one is.
	ErrNoProof = errors.New("not a proof of an event")
	// ErrNotProven says that they are one, and that it does not hold.
	ErrNotProven = errors.New("the proof does not hold")
)

// MaxSize is how long a proof may be, in bytes. Events of 8 MiB, and the
// statements of commits over very many epochs, stay far below.
const MaxSize = 64 << 20

const eventHeader = "docket/event-proof@v1"

// An EventProof proves that one event is in a ledger: its fingerprint is in the
// Merkle tree over those of its tenant, class and day that one commit added, the
// root of that tree is in the commit's statement, and the statement is in the
// log under a signed checkpoint.
type EventProof struct {
	Event     []byte     // its exact bytes
	Index     uint64     // of its fingerprint among those of its tenant, class and day in the commit, from 0
	Path      [][32]byte // from there to the root in the statement
	Statement []byte     // the exact bytes of the commit's statement

	Leaf       uint64     // index of the statement in the log
	LeafPath   [][32]byte // from there to the root in the checkpoint
	Checkpoint []byte     // as the log signed it, with that signature alone
}

// Encode returns the proof as a file holds it: a C2SP tlog-proof of the
// statement's SHA-256, whose extra data is the rest.
func (p *EventProof) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(eventHeader + "\n")
	writePath(&b, p.Index, p.Path)
	for _, part := range []struct {
		name  string
		bytes []byte
	}{{"statement", p.Statement}, {"event", p.Event}} {
		fmt.Fprintf(&b, "%s %d\n", part.name, len(part.bytes))
		b.Write(part.bytes)
		b.WriteByte('\n')
	}
	t := TLogProof{Extra: b.Bytes(), Index: p.Leaf, Path: p.LeafPath, Checkpoint: p.Checkpoint}
	return t.Encode()
}

// ParseEventProof reads a proof and believes nothing of it. Its error is
// [ErrNoProof].
func ParseEventProof(raw []byte) (*EventProof, error) {
	no := func(err error) error { return fmt.Errorf("%w: %w", ErrNoProof, err) }
	if len(raw) > MaxSize {
		return nil, no(fmt.Errorf("it has %d bytes, more than %d", len(raw), MaxSize))
	}
	t, err := ParseTLogProof(raw)
	if err != nil {
		return nil, no(err)
	}
	p := &EventProof{Leaf: t.Index, LeafPath: t.Path, Checkpoint: t.Checkpoint}
	rest, ok := bytes.CutPrefix(t.Extra, []byte(eventHeader+"\n"))
	if !ok {
		return nil, no(errors.New("its extra data is not of " + eventHeader))
	}
	if p.Index, p.Path, rest, err = readPath(rest); err != nil {
		return nil, no(err)
	}
	if p.Statement, rest, err = readPart("statement", rest); err != nil {
		return nil, no(err)
	}
	if p.Event, rest, err = readPart("event", rest); err != nil {
		return nil, no(err)
	}
	if len(rest) > 0 || !bytes.Equal(p.Encode(), raw) {
		return nil, no(errors.New("it is not written as such a proof is"))
	}
	return p, nil
}

// readPart reads what Encode writes of one part.
func readPart(name string, raw []byte) (part, rest []byte, err error) {
	line, rest, ok := cutLine(raw)
	number, named := strings.CutPrefix(line, name+" ")
	n, err := strconv.Atoi(number)
	if !ok || !named || err != nil || n < 0 || n >= len(rest) || rest[n] != '\n' {
		return nil, nil, fmt.Errorf("it has no %s where one belongs", name)
	}
	return rest[:n:n], rest[n+1:], nil
}

// Proven is what a proof that holds says.
type Proven struct {
	// Event is the exact bytes, and what they say of themselves.
	Event       []byte
	UID, Tenant string
	ClassUID    int64
	Time        int64 // ms since 1970
	Fingerprint [32]byte

	Commit     uint64 // number of the statement that counts it
	StoredTime int64  // of that commit, ms since 1970
	Statement  [32]byte
	Checkpoint Checkpoint
	KeyHash    uint32 // of the key that signed the checkpoint
}

// Verify judges a proof under the ledger's verifier key, in the encoding of
// package note, that the reader brings along. Every byte of it is bound: a proof
// of which anything was changed is refused, with [ErrNoProof] or [ErrNotProven].
// A key that cannot be read is another error.
func Verify(raw []byte, vkey string) (*Proven, error) {
	if _, err := verifier(vkey); err != nil {
		return nil, err
	}
	p, err := ParseEventProof(raw)
	if err != nil {
		return nil, err
	}
	proven, err := p.verify(vkey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	return proven, nil
}

// verify goes from the signature down to the event: nothing is read before
// something vouches for it.
func (p *EventProof) verify(vkey string) (*Proven, error) {
	cp, key, err := openAlone(p.Checkpoint, vkey)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(p.Statement)
	if err := verifyInclusion(digest[:], p.Leaf, cp.Size, p.LeafPath, cp.Root); err != nil {
		return nil, fmt.Errorf("the statement is not in the log: %w", err)
	}
	s, err := readStatement(p.Statement)
	if err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	e, err := readEvent(p.Event)
	if err != nil {
		return nil, fmt.Errorf("the event: %w", err)
	}
	size, root, err := s.group(e)
	if err != nil {
		return nil, err
	}
	if err := verifyInclusion(e.digest[:], p.Index, size, p.Path, root); err != nil {
		return nil, fmt.Errorf("the event is not in the statement: %w", err)
	}
	return &Proven{
		Event: p.Event, UID: e.uid, Tenant: e.tenant, ClassUID: e.class, Time: e.time, Fingerprint: e.digest,
		Commit: s.Number, StoredTime: s.Time, Statement: digest, Checkpoint: cp, KeyHash: key,
	}, nil
}

// openAlone is [OpenCheckpoint] of a checkpoint that has the one signature and
// no other: what others signed nobody here could check.
func openAlone(raw []byte, vkey string) (Checkpoint, uint32, error) {
	cp, err := OpenCheckpoint(raw, vkey)
	if err != nil {
		return Checkpoint{}, 0, err
	}
	alone, err := Alone(raw, vkey)
	if err != nil {
		return Checkpoint{}, 0, err
	}
	if !bytes.Equal(alone, raw) {
		return Checkpoint{}, 0, errors.New("the checkpoint bears more than the signature of the key")
	}
	v, err := verifier(vkey)
	if err != nil {
		return Checkpoint{}, 0, err
	}
	return cp, v.KeyHash(), nil
}

// A statement is what a proof needs to read in the bytes of one. The ledger
// vouches for these.
type statement struct {
	Number uint64 `json:"number"`
	Time   int64  `json:"time"`
	Counts []struct {
		Tenant   string `json:"tenant"`
		ClassUID int64  `json:"class_uid"`
		Day      string `json:"day"`
		Count    uint64 `json:"count"`
		Root     string `json:"root"`
	} `json:"counts"`
}

func readStatement(raw []byte) (*statement, error) {
	s := new(statement)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("it is no statement: %w", err)
	}
	return s, nil
}

// group returns the size and the root of the tree that the event is in.
func (s *statement) group(e *event) (size uint64, root [32]byte, err error) {
	found := 0
	for i := range s.Counts {
		c := &s.Counts[i]
		if c.Tenant != e.tenant || c.ClassUID != e.class || c.Day != e.day() {
			continue
		}
		found++
		b, err := hex.DecodeString(c.Root)
		if err != nil || len(b) != len(root) {
			return 0, root, errors.New("the statement names no root for the event's tenant, class and day")
		}
		size, root = c.Count, [32]byte(b)
	}
	if found != 1 {
		return 0, root, fmt.Errorf("the statement counts %d times what is of the event's tenant, class and day", found)
	}
	return size, root, nil
}
