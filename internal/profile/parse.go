// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Why bytes are not an event of Docket. [Check] and [Parse] wrap them.
var (
	// ErrMalformed says that the bytes are not JSON, or that an attribute has
	// the wrong type.
	ErrMalformed = errors.New("malformed event")
	// ErrIncomplete says that the event lacks what every event of Docket has:
	// uid, time, tenant, kind, class, version, emitter, epoch, sequence,
	// attestation.
	ErrIncomplete = errors.New("incomplete event")
	// ErrFingerprint says that the bytes are not those that were sealed.
	ErrFingerprint = errors.New("fingerprint mismatch")
)

// MaxInteger is the largest integer that canonical JSON can hold exactly.
const MaxInteger = 1<<53 - 1

// Parse reads the header out of an event's canonical bytes, in one pass and
// without looking into payloads. It fails with [ErrMalformed] on a wrong type
// anywhere in what it reads, and with [ErrIncomplete] where an event cannot be
// told from others. It does not verify the fingerprint; [Check] does.
func Parse(raw []byte) (Header, error) {
	s, err := scan(raw)
	if err != nil {
		return Header{}, fmt.Errorf("parse event: %w", err)
	}
	if err := s.complete(); err != nil {
		return Header{}, fmt.Errorf("parse event: %w", err)
	}
	return s.Header, nil
}

// A scanned event is its header, what ties the header together, and where in
// the bytes the fingerprint stands.
type scanned struct {
	Header

	form *form // that of metadata.version; nil when there is none

	// Of the attestation.
	chain, attestation string
	// raw[cut:cutEnd] is the fingerprint member with its comma; cut is where it
	// belongs when it is not there yet (cutEnd is then equal).
	cut, cutEnd int
	// exact says that the fingerprint member is written as Seal writes it.
	exact bool
}

// reader walks one event. The decoder is reused between events.
type reader struct {
	buf bytes.Buffer
	dec *jsontext.Decoder
	s   scanned

	requestUID string
	planUID    string // unmapped.docket.plan
	planPolicy string // policy.version
	appUID     string
	appName    string

	real, aside bool // which attestation_list there is: the schema's own, that in unmapped
}

var readers = sync.Pool{New: func() any { return &reader{dec: jsontext.NewDecoder(bytes.NewReader(nil))} }}

// scan walks the whole of raw, which must be one JSON object.
func scan(raw []byte) (scanned, error) {
	r, _ := readers.Get().(*reader)
	// A bytes.Buffer is what the decoder reads in place, without a copy.
	r.buf = *bytes.NewBuffer(raw)
	r.dec.Reset(&r.buf, jsontext.AllowDuplicateNames(false))
	r.s = scanned{}
	r.requestUID, r.planUID, r.planPolicy, r.appUID, r.appName = "", "", "", "", ""
	r.real, r.aside = false, false
	err := r.event(raw)
	s := r.s
	r.buf = bytes.Buffer{}
	r.dec.Reset(&r.buf)
	r.s = scanned{}
	readers.Put(r)
	if err != nil {
		if !errors.Is(err, ErrMalformed) {
			err = fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return scanned{}, err
	}
	return s, nil
}

// complete says whether s has an identity of its own, and one only.
func (s *scanned) complete() error {
	missing := func(what string) error { return fmt.Errorf("%w: no %s", ErrIncomplete, what) }
	switch {
	case s.MetadataUID == "":
		return missing("metadata.uid")
	case s.Kind == "":
		return missing("metadata.event_code")
	case s.Tenant == "":
		return missing("metadata.tenant_uid")
	case s.Time <= 0:
		return missing("time")
	case s.ClassUID == 0 || s.TypeUID == 0:
		return missing("class_uid and type_uid")
	case s.Emitter == "":
		return missing("metadata.loggers[0].name")
	case s.Epoch == "":
		return missing("metadata.loggers[0].uid")
	case s.Sequence < 1:
		return missing("metadata.sequence")
	case s.form == nil:
		return missing("metadata.version")
	case s.Fingerprint == "":
		return missing("fingerprint in attestation_list[0]")
	case s.chain != s.Epoch:
		return fmt.Errorf("%w: attested in hash chain %q, logged in epoch %q", ErrIncomplete, s.chain, s.Epoch)
	case !isAttestationUID(s.attestation, s.Epoch, s.Sequence):
		return fmt.Errorf("%w: attestation %q is not that of sequence %d", ErrIncomplete, s.attestation, s.Sequence)
	}
	return nil
}

// isAttestationUID says whether s is "<epoch>:<sequence>", without building it.
func isAttestationUID(s, epoch string, sequence int64) bool {
	if len(s) <= len(epoch)+1 || s[:len(epoch)] != epoch || s[len(epoch)] != ':' {
		return false
	}
	var digits [20]byte
	return s[len(epoch)+1:] == string(strconv.AppendInt(digits[:0], sequence, 10))
}

// object calls member for each member of the object that comes next. member
// MUST consume the value.
func (r *reader) object(what string, member func(name []byte) error) error {
	if k := r.dec.PeekKind(); k != '{' {
		return r.wrong(what, "an object", k)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() == '"' {
		name, err := r.dec.ReadValue()
		if err != nil {
			return err
		}
		if err := member(name[1 : len(name)-1]); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// first calls element for the first element of the array that comes next and
// skips the others.
func (r *reader) first(what string, element func() error) error {
	i := 0
	return r.array(what, func() error {
		i++
		if i > 1 {
			return r.dec.SkipValue()
		}
		return element()
	})
}

// array calls element for each element of the array that comes next.
func (r *reader) array(what string, element func() error) error {
	if k := r.dec.PeekKind(); k != '[' {
		return r.wrong(what, "an array", k)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for k := r.dec.PeekKind(); k != ']' && k != 0; k = r.dec.PeekKind() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// text reads a string.
func (r *reader) text(what string, to *string) error {
	if k := r.dec.PeekKind(); k != '"' {
		return r.wrong(what, "a string", k)
	}
	t, err := r.dec.ReadToken()
	if err != nil {
		return err
	}
	*to = t.String()
	return nil
}

// whole reads a whole number that canonical JSON can hold.
func (r *reader) whole(what string, to *int64) error {
	if k := r.dec.PeekKind(); k != '0' {
		return r.wrong(what, "an integer", k)
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n > MaxInteger || n < -MaxInteger {
		return fmt.Errorf("%w: %s is not an integer: %.40s", ErrMalformed, what, v)
	}
	*to = n
	return nil
}

// small reads a whole number of 32 bits.
func (r *reader) small(what string, to *int32) error {
	var n int64
	if err := r.whole(what, &n); err != nil {
		return err
	}
	if n > math.MaxInt32 || n < math.MinInt32 {
		return fmt.Errorf("%w: %s out of range: %d", ErrMalformed, what, n)
	}
	*to = int32(n)
	return nil
}

// truth reads a boolean.
func (r *reader) truth(what string, to *bool) error {
	k := r.dec.PeekKind()
	if k != 't' && k != 'f' {
		return r.wrong(what, "a boolean", k)
	}
	*to = k == 't'
	return r.dec.SkipValue()
}

// wrong reports a wrong type, or the decoder's own error where there is one.
func (r *reader) wrong(what, want string, got jsontext.Kind) error {
	if got == 0 {
		if _, err := r.dec.ReadToken(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %s is not %s but %v", ErrMalformed, what, want, got)
}
