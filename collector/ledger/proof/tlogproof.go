// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A TLogProof is a C2SP tlog-proof: that a record is in a log under a signed
// checkpoint. It does not name the record; whoever has it computes its hash.
type TLogProof struct {
	Extra      []byte // nobody vouches for it; nil is none
	Index      uint64 // of the record, from 0
	Path       [][32]byte
	Checkpoint []byte // as it was signed
}

const (
	tlogHeader = "c2sp.org/tlog-proof@v1"
	maxPath    = 64 // of a tree of at most 2^64 leaves
)

// Encode returns the proof as a file holds it.
func (p *TLogProof) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(tlogHeader + "\n")
	if p.Extra != nil {
		fmt.Fprintf(&b, "extra %s\n", base64.StdEncoding.EncodeToString(p.Extra))
	}
	writePath(&b, p.Index, p.Path)
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// writePath writes an index, the hashes of an inclusion proof and an empty line.
func writePath(b *bytes.Buffer, index uint64, path [][32]byte) {
	fmt.Fprintf(b, "index %d\n", index)
	for i := range path {
		b.WriteString(base64.StdEncoding.EncodeToString(path[i][:]) + "\n")
	}
	b.WriteByte('\n')
}

// ParseTLogProof reads a proof and believes nothing of it. It takes only bytes
// that [TLogProof.Encode] writes, so that there is one form of each proof.
func ParseTLogProof(raw []byte) (*TLogProof, error) {
	p := new(TLogProof)
	rest, ok := bytes.CutPrefix(raw, []byte(tlogHeader+"\n"))
	if !ok {
		return nil, errors.New("it does not begin with " + tlogHeader)
	}
	if extra, ok := bytes.CutPrefix(rest, []byte("extra ")); ok {
		line, after, _ := bytes.Cut(extra, []byte("\n"))
		p.Extra = make([]byte, base64.StdEncoding.DecodedLen(len(line)))
		n, err := base64.StdEncoding.Decode(p.Extra, line)
		if err != nil {
			return nil, errors.New("the line extra is no base64")
		}
		p.Extra, rest = p.Extra[:n], after
	}
	var err error
	if p.Index, p.Path, rest, err = readPath(rest); err != nil {
		return nil, err
	}
	p.Checkpoint = bytes.Clone(rest)
	// Base64 has several spellings of some values, and numbers too.
	if !bytes.Equal(p.Encode(), raw) {
		return nil, errors.New("it is not written as such a proof is")
	}
	return p, nil
}

// readPath reads what writePath writes.
func readPath(raw []byte) (index uint64, path [][32]byte, rest []byte, err error) {
	line, rest, ok := cutLine(raw)
	number, isIndex := strings.CutPrefix(line, "index ")
	if index, err = strconv.ParseUint(number, 10, 64); err != nil || !ok || !isIndex {
		return 0, nil, nil, errors.New("it has no line with an index where one belongs")
	}
	for len(path) <= maxPath {
		if line, rest, ok = cutLine(rest); !ok {
			break
		}
		if line == "" {
			return index, path, rest, nil
		}
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != 32 {
			return 0, nil, nil, fmt.Errorf("hash %d of an inclusion proof is no SHA-256 in base64", len(path))
		}
		path = append(path, [32]byte(hash))
	}
	return 0, nil, nil, errors.New("an inclusion proof does not end")
}

// maxLine is what the lines of a path are far below.
const maxLine = 128

// cutLine takes a short line from b.
func cutLine(b []byte) (line string, rest []byte, ok bool) {
	i := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+1:], true
}
