// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// seal makes an event as an emitter seals one: open is its JSON with @ where the
// fingerprint belongs.
func seal(open, head string) []byte {
	before, after, _ := strings.Cut(open, "@")
	sum := sha256.Sum256([]byte(before + after))
	return []byte(before + head + hex.EncodeToString(sum[:]) + fingerprintTail + after)
}

const (
	inUnmapped = `{"class_uid":6003,"metadata":{"tenant_uid":"acme","uid":"u-%d"},"time":1793215000%03d,"unmapped":{"attestation_list":[{"chain_uid":"e-1",@"uid":"e-1:%[1]d"}],"x":[1,{"y":"\u0007"}]}}`
	inPlace    = `{"attestation_list":[{"authority_uid":"gw","chain_uid":"e-2",@"uid":"e-2:%[1]d"},{"chain_uid":"e-3"}],"class_uid":6003,"metadata":{"tenant_uid":"acme","uid":"u-%[1]d"},"time":1793215000%03[2]d}`
)

// A bench is a ledger of a few statements that a test makes by hand.
type bench struct {
	signer     note.Signer
	vkey       string
	events     [][]byte // those of the statement's one group
	statements [][]byte
	at         uint64 // index of the one that counts the events
}

func newBench(t testing.TB, events, statements int) *bench {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "docket/test")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{vkey: vkey, at: uint64(statements / 2)}
	if b.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	var leaves [][32]byte
	for i := range events {
		form, head := inUnmapped, unmappedHead
		if i%2 == 1 {
			form, head = inPlace, fingerprintHead
		}
		b.events = append(b.events, seal(fmt.Sprintf(form, i, i), head))
		e, err := readEvent(b.events[i])
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, LeafHash(e.digest[:]))
	}
	root := rootOf(leaves)
	for i := range statements {
		count := map[string]any{"tenant": "acme", "class_uid": 6003, "day": "20261028", "count": events, "root": hex.EncodeToString(root[:])}
		if uint64(i) != b.at {
			count["root"] = strings.Repeat("00", 32)
		}
		raw, err := json.Marshal(map[string]any{"number": i + 1, "time": 1_793_215_001_000 + i, "counts": []any{count, map[string]any{"tenant": "other", "class_uid": 1, "day": "20261028", "count": 1, "root": ""}}})
		if err != nil {
			t.Fatal(err)
		}
		b.statements = append(b.statements, raw)
	}
	return b
}

// prove makes the proof of one event.
func (b *bench) prove(t testing.TB, i int) *EventProof {
	t.Helper()
	var group, log [][32]byte
	for _, raw := range b.events {
		e, err := readEvent(raw)
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, LeafHash(e.digest[:]))
	}
	for _, s := range b.statements {
		sum := sha256.Sum256(s)
		log = append(log, LeafHash(sum[:]))
	}
	p := &EventProof{Event: b.events[i], Index: uint64(i), Statement: b.statements[b.at], Leaf: b.at}
	var err error
	if p.Path, err = Inclusion(group, p.Index); err != nil {
		t.Fatal(err)
	}
	if p.LeafPath, err = Inclusion(log, p.Leaf); err != nil {
		t.Fatal(err)
	}
	root := rootOf(log)
	p.Checkpoint = b.sign(t, fmt.Sprintf("docket/test\n%d\n%s\n", len(log), base64.StdEncoding.EncodeToString(root[:])))
	return p
}

func (b *bench) sign(t testing.TB, text string, more ...note.Signer) []byte {
	t.Helper()
	raw, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{b.signer}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestEventProof(t *testing.T) {
	for _, events := range []int{1, 2, 3, 7, 8} {
		for _, statements := range []int{1, 2, 5} {
			b := newBench(t, events, statements)
			for i := range events {
				raw := b.prove(t, i).Encode()
				p, err := Verify(raw, b.vkey+"\n")
				if err != nil {
					t.Fatalf("event %d of %d, %d statements: %v", i, events, statements, err)
				}
				if p.UID != fmt.Sprintf("u-%d", i) || p.Tenant != "acme" || p.ClassUID != 6003 || p.Time != 1_793_215_000_000+int64(i) ||
					p.Commit != b.at+1 || p.StoredTime != 1_793_215_001_000+int64(b.at) || p.Checkpoint.Size != uint64(statements) ||
					p.Checkpoint.Origin != "docket/test" || !bytes.Equal(p.Event, b.events[i]) {
					t.Errorf("event %d of %d, %d statements: proven is %+v", i, events, statements, p)
				}
			}
		}
	}
}

// refused wants that nobody takes raw for a proof.
func refused(t *testing.T, raw []byte, vkey, what string) {
	t.Helper()
	p, err := Verify(raw, vkey)
	if p != nil || !errors.Is(err, ErrNoProof) && !errors.Is(err, ErrNotProven) {
		t.Fatalf("%s: %+v, %v\n%s", what, p, err, raw)
	}
}

// Whatever is changed in a proof, it is refused: each bit of it, and each byte
// that is left out, written twice, or put between.
func TestEveryChangeIsRefused(t *testing.T) {
	b := newBench(t, 5, 6)
	raw := b.prove(t, 0).Encode()
	changed := make([]byte, len(raw))
	for at := range raw {
		for bit := range 8 {
			copy(changed, raw)
			changed[at] ^= 1 << bit
			refused(t, changed, b.vkey, fmt.Sprintf("bit %d of byte %d", bit, at))
		}
		refused(t, raw[:at], b.vkey, fmt.Sprintf("cut off at byte %d", at))
		refused(t, slices.Delete(slices.Clone(raw), at, at+1), b.vkey, fmt.Sprintf("without byte %d", at))
		for _, more := range []byte{raw[at], '\n', '\r', '='} {
			refused(t, slices.Insert(slices.Clone(raw), at, more), b.vkey, fmt.Sprintf("%q before byte %d", more, at))
		}
	}
	for _, more := range []string{"\n", "x", "— docket/test AAAA\n"} {
		refused(t, append(slices.Clone(raw), more...), b.vkey, fmt.Sprintf("%q at the end", more))
	}
}

// The same on the inside, where base64 hides what a change does: every bit of
// the event, of the statement and of the hashes.
func TestEveryInnerChangeIsRefused(t *testing.T) {
	b := newBench(t, 5, 6)
	one := b.prove(t, 1)
	one.Event, one.Statement = bytes.Clone(one.Event), bytes.Clone(one.Statement)
	each := func(what string, part func(p *EventProof) []byte) {
		for at := range part(one) {
			for bit := range 8 {
				part(one)[at] ^= 1 << bit
				refused(t, one.Encode(), b.vkey, fmt.Sprintf("%s: bit %d of byte %d", what, bit, at))
				part(one)[at] ^= 1 << bit
			}
		}
	}
	each("event", func(p *EventProof) []byte { return p.Event })
	each("statement", func(p *EventProof) []byte { return p.Statement })
	for i := range one.Path {
		each("path", func(p *EventProof) []byte { return p.Path[i][:] })
	}
	for i := range one.LeafPath {
		each("path in the log", func(p *EventProof) []byte { return p.LeafPath[i][:] })
	}
	for i := range uint64(20) {
		if p := *one; i != p.Index {
			p.Index = i
			refused(t, p.Encode(), b.vkey, fmt.Sprintf("index %d", i))
		}
		if p := *one; i != p.Leaf {
			p.Leaf = i
			refused(t, p.Encode(), b.vkey, fmt.Sprintf("leaf %d", i))
		}
	}
	if _, err := Verify(one.Encode(), b.vkey); err != nil {
		t.Error(err)
	}
}

// What is true by itself and does not belong together is no proof.
func TestPartsOfOthers(t *testing.T) {
	b := newBench(t, 5, 6)
	for what, change := range map[string]func(p *EventProof){
		"another event":     func(p *EventProof) { p.Event = b.events[0] },
		"another statement": func(p *EventProof) { p.Statement = b.statements[0] },
		"another ledger":    func(p *EventProof) { p.Checkpoint = newBench(t, 5, 6).prove(t, 1).Checkpoint },
		"an empty log": func(p *EventProof) {
			p.Checkpoint = b.sign(t, "docket/test\n0\n"+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n")
		},
		"a longer path":  func(p *EventProof) { p.Path = append(slices.Clone(p.Path), [32]byte{}) },
		"a shorter path": func(p *EventProof) { p.Path = p.Path[1:] },
		"no path":        func(p *EventProof) { p.LeafPath = nil },
		"a cosigner": func(p *EventProof) {
			skey, _, err := note.GenerateKey(rand.Reader, "witness")
			if err != nil {
				t.Fatal(err)
			}
			witness, err := note.NewSigner(skey)
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ := strings.Cut(string(p.Checkpoint), "\n\n")
			p.Checkpoint = b.sign(t, text+"\n", witness)
			alone, err := Alone(p.Checkpoint, b.vkey)
			if err != nil || !bytes.HasPrefix(p.Checkpoint, alone) || len(alone) == len(p.Checkpoint) {
				t.Errorf("Alone: %q, %v", alone, err)
			}
		},
	} {
		p := b.prove(t, 1)
		change(p)
		refused(t, p.Encode(), b.vkey, what)
	}
	if _, err := Verify(b.prove(t, 1).Encode(), "nonsense"); err == nil || errors.Is(err, ErrNoProof) || errors.Is(err, ErrNotProven) {
		t.Errorf("a nonsensical key: %v", err)
	}
	refused(t, b.prove(t, 1).Encode(), newBench(t, 1, 1).vkey, "another key")
}

func TestReadEvent(t *testing.T) {
	good := fmt.Sprintf(inUnmapped, 1, 1)
	for what, open := range map[string]string{
		"no JSON":                "@",
		"a list":                 "[@]",
		"something behind":       good + " ",
		"a second attestation":   strings.Replace(good, `{"class_uid"`, `{"attestation_list":[{"chain_uid":"z","uid":"y"}],"class_uid"`, 1),
		"two tenants":            strings.Replace(good, `"tenant_uid":"acme"`, `"tenant_uid":"acme","tenant_uid":"evil"`, 1),
		"two times":              strings.Replace(good, `"time":`, `"time":1,"time":`, 1),
		"no tenant":              strings.Replace(good, `"tenant_uid":"acme",`, ``, 1),
		"a tenant that is none":  strings.Replace(good, `"acme"`, `7`, 1),
		"a time with a fraction": strings.Replace(good, `"time":1793215000001`, `"time":1793215000001.5`, 1),
		"a time in words":        strings.Replace(good, `"time":1793215000001`, `"time":"now"`, 1),
		"no chain":               strings.Replace(good, `"chain_uid":"e-1",@`, `@`, 1),
		"attested elsewhere":     strings.Replace(good, `"chain_uid":"e-1",@"uid"`, `"chain_uid":"e-1","tid":"1",@"uid"`, 1),
		"no UTF-8":               strings.Replace(good, "acme", "ac\xffme", 1),
		"attestations in words":  strings.Replace(good, `"attestation_list":[`, `"attestation_list":"","y":[`, 1),
	} {
		if e, err := readEvent(seal(open, unmappedHead)); err == nil {
			t.Errorf("%s: read as %+v", what, e)
		}
	}
	if _, err := readEvent(seal(good, unmappedHead)); err != nil {
		t.Error(err)
	}
}

// What is read as a proof is written the same again, and nothing makes the
// reader panic or go on for ever.
func FuzzEventProof(f *testing.F) {
	b := newBench(f, 3, 3)
	f.Add(b.prove(f, 1).Encode(), b.vkey)
	f.Add((&TLogProof{Index: 3, Checkpoint: []byte("docket/test\n7\nAAAA\n\n")}).Encode(), b.vkey)
	f.Add([]byte(tlogHeader+"\nextra \nindex 0\n\n"), "")
	f.Add([]byte(tlogHeader+"\nindex 00\n\n"), "x")
	good := b.prove(f, 1).Encode()
	f.Fuzz(func(t *testing.T, raw []byte, vkey string) {
		if p, err := ParseTLogProof(raw); err == nil && !bytes.Equal(p.Encode(), raw) {
			t.Errorf("%q is written as %q", raw, p.Encode())
		}
		p, err := ParseEventProof(raw)
		if err == nil && !bytes.Equal(p.Encode(), raw) {
			t.Errorf("%q is written as %q", raw, p.Encode())
		}
		if err != nil && !errors.Is(err, ErrNoProof) {
			t.Errorf("%q: %v", raw, err)
		}
		if _, err := Verify(raw, b.vkey); err == nil && !bytes.Equal(raw, good) && !bytes.Equal(raw, b.prove(t, 1).Encode()) {
			t.Errorf("%q is believed", raw)
		}
		_, _ = Verify(raw, vkey)
	})
}

// FuzzReadEvent: what reads as an event has the fingerprint of its bytes.
func FuzzReadEvent(f *testing.F) {
	f.Add(seal(fmt.Sprintf(inUnmapped, 1, 1), unmappedHead))
	f.Add(seal(fmt.Sprintf(inPlace, 1, 1), fingerprintHead))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := readEvent(raw)
		if err != nil {
			return
		}
		if !bytes.Contains(raw, []byte(hex.EncodeToString(e.digest[:]))) || !json.Valid(raw) {
			t.Errorf("%q reads as %+v", raw, e)
		}
	})
}
