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
	"time"
	"unicode/utf8"
)

// An event is what a proof needs to read in the bytes of one. Docket reads more
// of them, in a package of its own; that both read the same is tested.
type event struct {
	uid, tenant string
	time        int64 // ms since 1970
	class       int64
	// digest is the fingerprint: SHA-256 over the bytes without the member that
	// holds it.
	digest [32]byte
}

// day is that of the event's time, as statements count.
func (e *event) day() string { return time.UnixMilli(e.time).UTC().Format("20060102") }

// The member that holds the fingerprint is written in one way only: between
// these two are 64 lower-case hex digits.
const (
	// In attestation_list, which OCSF has since 1.9.
	fingerprintHead = `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"encoding":"Hex","encoding_id":1,` +
		`"serialization":"JCS","serialization_id":2,"value":"`
	// In unmapped.attestation_list, before.
	unmappedHead    = `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"serialization_id":2,"value":"`
	fingerprintTail = `"},`
)

// readEvent reads an event and computes its fingerprint. It fails unless the
// event bears it.
func readEvent(raw []byte) (*event, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("it is no UTF-8")
	}
	w := &walker{dec: json.NewDecoder(bytes.NewReader(raw)), raw: raw}
	w.dec.UseNumber()
	e := new(event)
	if err := w.object(func(name string) error { return w.top(e, name) }); err != nil {
		return nil, err
	}
	switch {
	case w.dec.InputOffset() != int64(len(raw)):
		return nil, errors.New("something follows the JSON object")
	case w.attestations != 1 || w.cut == 0:
		return nil, errors.New("it is attested in no place, or in two")
	case e.uid == "" || e.tenant == "" || e.time <= 0 || e.class <= 0:
		return nil, errors.New("it lacks metadata.uid, metadata.tenant_uid, time or class_uid")
	}
	return e, w.fingerprint(e)
}

// fingerprint computes that of the event and compares it with the one in it.
func (w *walker) fingerprint(e *event) error {
	end := w.cut + len(w.head) + 2*sha256.Size + len(fingerprintTail)
	if end > len(w.raw) {
		return errors.New("it bears no fingerprint where one belongs")
	}
	h := sha256.New()
	h.Write(w.raw[:w.cut])
	h.Write(w.raw[end:])
	h.Sum(e.digest[:0])
	if want := w.head + hex.EncodeToString(e.digest[:]) + fingerprintTail; string(w.raw[w.cut:end]) != want {
		return fmt.Errorf("the fingerprint of its bytes is %x, which is not the one that it bears", e.digest)
	}
	return nil
}

// A walker reads a JSON object from its beginning to its end.
type walker struct {
	dec          *json.Decoder
	raw          []byte
	attestations int
	cut          int    // where the fingerprint's member begins: behind chain_uid
	head         string // of that member
}

// object calls member for each member of the object that comes next. member
// must consume the value. A name that comes twice would let two readers read
// two things.
func (w *walker) object(member func(name string) error) error {
	if err := w.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for w.dec.More() {
		t, err := w.dec.Token()
		if err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		name, _ := t.(string) // else the decoder had failed
		if seen[name] {
			return fmt.Errorf("it has %.40q twice", name)
		}
		seen[name] = true
		if err := member(name); err != nil {
			return err
		}
	}
	return w.delim('}')
}

func (w *walker) delim(want json.Delim) error {
	t, err := w.dec.Token()
	if err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	if d, ok := t.(json.Delim); !ok || d != want {
		return fmt.Errorf("%v is not where one belongs", want)
	}
	return nil
}

func (w *walker) skip() error {
	var v json.RawMessage
	if err := w.dec.Decode(&v); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	return nil
}

func (w *walker) text(to *string) error {
	t, err := w.dec.Token()
	if err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	s, ok := t.(string)
	if !ok {
		return errors.New("something else is where a string belongs")
	}
	*to = s
	return nil
}

func (w *walker) whole(to *int64) error {
	t, err := w.dec.Token()
	if err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	n, ok := t.(json.Number)
	if !ok {
		return errors.New("something else is where a number belongs")
	}
	if *to, err = strconv.ParseInt(n.String(), 10, 64); err != nil {
		return fmt.Errorf("%.40s is where a whole number belongs", n)
	}
	return nil
}

func (w *walker) top(e *event, name string) error {
	switch name {
	case "class_uid":
		return w.whole(&e.class)
	case "time":
		return w.whole(&e.time)
	case "metadata":
		return w.object(func(name string) error {
			switch name {
			case "tenant_uid":
				return w.text(&e.tenant)
			case "uid":
				return w.text(&e.uid)
			}
			return w.skip()
		})
	case "attestation_list":
		return w.attested(fingerprintHead)
	case "unmapped":
		return w.object(func(name string) error {
			if name == "attestation_list" {
				return w.attested(unmappedHead)
			}
			return w.skip()
		})
	}
	return w.skip()
}

// attested finds the place of the fingerprint in the first attestation.
func (w *walker) attested(head string) error {
	w.attestations++
	w.head = head
	if err := w.delim('['); err != nil {
		return err
	}
	for first := true; w.dec.More(); first = false {
		if !first {
			if err := w.skip(); err != nil {
				return err
			}
			continue
		}
		err := w.object(func(name string) error {
			if name != "chain_uid" {
				return w.skip()
			}
			var chain string
			err := w.text(&chain)
			w.cut = int(w.dec.InputOffset()) + 1 // behind the comma
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.delim(']')
}
