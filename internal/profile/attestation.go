// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/ocsf"
)

const attestationList = "attestation_list"

// A form is how events of one version of OCSF are attested.
type form struct {
	version string // metadata.version

	// real says that attestation_list is an attribute of the schema, which came
	// with 1.9. Before, the same list is in unmapped. key is the attribute that it
	// is, or is in.
	real bool
	key  string

	// head is the fingerprint member up to the hex digits. The member never comes
	// last: prev_event or uid follow it. prev is the same of the previous event's.
	head, prev string
}

// tail is what stands behind the hex digits, comma included.
const tail = `"},`

// The forms, the default first. Those of unmapped are older than the released
// schema, and stay as they were.
var (
	aside = &form{
		version: "1.8.0", key: "unmapped",
		head: `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"serialization_id":2,"value":"`,
		prev: `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"value":"`,
	}
	inPlace = &form{
		version: "1.9.0", real: true, key: attestationList,
		head: `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"encoding":"Hex","encoding_id":1,` +
			`"serialization":"JCS","serialization_id":2,"value":"`,
		prev: `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"encoding":"Hex","encoding_id":1,` +
			`"serialization":"JCS","serialization_id":2,"value":"`,
	}
	forms = [...]*form{aside, inPlace}
)

// ProfileRecordIntegrity is the profile of OCSF 1.9 that attestation_list belongs to.
const ProfileRecordIntegrity = "record_integrity"

// Versions returns the versions of OCSF that events of Docket come in, the
// default first.
func Versions() []string {
	var all []string
	for _, f := range forms {
		all = append(all, f.version)
	}
	return all
}

// CheckVersion fails with a [*VersionError] unless v is one of [Versions] or
// empty, which stands for the default.
func CheckVersion(v string) error {
	_, err := formOf(v)
	return err
}

// A VersionError says that an event is of a version of OCSF that Docket does
// not write.
type VersionError struct{ Version string }

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("no events of OCSF version %.40q", e.Version)
}

// Hint says which versions there are.
func (e *VersionError) Hint() string {
	return "the version is one of " + strings.Join(Versions(), ", ")
}

func formOf(version string) (*form, error) {
	if version == "" {
		version = ocsf.DefaultVersion
	}
	for _, f := range forms {
		if f.version == version {
			return f, nil
		}
	}
	return nil, &VersionError{Version: version}
}

// writes says whether the fingerprint member that was read of raw is written as Seal
// writes it: s.exact, of an attestation that is to be in the form f.
func writes[T string | []byte](s *scanned, f *form, raw []byte, fingerprint T) bool {
	if s.cutEnd > len(raw) || s.cut <= 0 {
		return false
	}
	b := raw[s.cut:s.cutEnd]
	return len(b) == len(f.head)+len(fingerprint)+len(tail) &&
		string(b[:len(f.head)]) == f.head && string(b[len(f.head):len(b)-len(tail)]) == string(fingerprint) && string(b[len(b)-len(tail):]) == tail
}

// clear takes out of b what is in the places of attestations, and names the profile
// of the one that will be there.
func (f *form) clear(b *ocsf.Base) {
	b.AttestationList = nil
	if _, ok := b.Unmapped[attestationList]; ok {
		b.Unmapped = maps.Clone(b.Unmapped)
		delete(b.Unmapped, attestationList)
	}
	if f.real && !slices.Contains(b.Metadata.Profiles, ProfileRecordIntegrity) {
		b.Metadata.Profiles = append(slices.Clip(b.Metadata.Profiles), ProfileRecordIntegrity)
	}
}

// appendAttestation appends the list with the attestation of link, all but its
// fingerprint, and returns where in b that belongs. It is the canonical form of
// what package ocsf has types for.
func (f *form) appendAttestation(b []byte, l Link) (text []byte, cut int, err error) {
	add := func(s string) {
		if plainASCII(s) {
			b = append(append(append(b, '"'), s...), '"')
			return
		}
		v, e := ocsf.EncodeValue(s)
		err = errors.Join(err, e)
		b = append(b, v...)
	}
	b = append(b, `[{"authority_uid":`...)
	add(l.Emitter)
	b = append(b, `,"chain_uid":`...)
	add(l.Epoch)
	b = append(b, ',')
	cut = len(b)
	if l.PrevUID != "" {
		b = append(append(b, `"prev_event":{`...), f.prev...)
		b = append(append(b, l.PrevFingerprint...), `"},`...)
		if f.real && l.PrevTypeUID != 0 {
			b = append(b, `"type_uid":`...)
			b = append(strconv.AppendInt(b, l.PrevTypeUID, 10), ',')
		}
		b = append(b, `"uid":`...)
		add(l.PrevUID)
		b = append(b, `},`...)
	}
	b = append(b, `"uid":`...)
	add(l.Epoch)
	b = append(b[:len(b)-1], ':') // in place of the quote
	return append(strconv.AppendInt(b, l.Sequence, 10), `"}]`...), cut, err
}

// plainASCII says whether s is itself in JSON.
func plainASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// version reads metadata.version.
func (r *reader) version() error {
	v, err := r.plain("metadata.version")
	if err != nil {
		return err
	}
	for _, f := range forms {
		if string(v) == f.version {
			r.s.form = f
			return nil
		}
	}
	return fmt.Errorf("%w: metadata.version: %w", ErrMalformed, &VersionError{Version: string(v)})
}

// A gap is where in an event the attestation belongs that it has not yet.
type gap struct {
	at    int  // before this byte; 0 when it is not known yet
	last  bool // no member comes behind it
	alone bool // nor before it
	inner bool // it is in unmapped, which is there
}

// fill appends what is to stand in the gap: the attestation of link, all but its
// fingerprint; and returns where in b that belongs.
func (g gap) fill(b []byte, f *form, link Link) (text []byte, cut int, err error) {
	if g.last && !g.alone {
		b = append(b, ',')
	}
	whole := !f.real && !g.inner
	if whole {
		b = append(b, `"unmapped":{`...)
	}
	b = append(b, `"attestation_list":`...)
	if b, cut, err = f.appendAttestation(b, link); err != nil {
		return nil, 0, err
	}
	if whole {
		b = append(b, '}')
	}
	if !g.last {
		b = append(b, ',')
	}
	return b, cut, nil
}

// look looks whether a member whose name begins at nameAt is the first that comes
// behind one called key, and fails on an attestation that is there already.
func (r *reader) look(name []byte, key string) error {
	if string(name) == attestationList {
		return fmt.Errorf("%w: an attestation before it is sealed", ErrMalformed)
	}
	if r.s.gap.at == 0 && string(name) > key {
		r.s.gap.at = r.nameAt
	}
	return nil
}

// end notes that the object that ends before at has no member behind key, unless
// there was one.
func (r *reader) end() {
	if g := &r.s.gap; g.at == 0 {
		g.at, g.last, g.alone = r.at-1, true, r.b[r.at-2] == '{'
	}
}

// attested says whether the attestation is where the version has it, and
// nowhere else: who reads only one place must not be told another story.
func (r *reader) attested() error {
	f := r.s.form
	switch {
	case r.real && r.aside:
		return fmt.Errorf("%w: attestation_list and unmapped.attestation_list", ErrMalformed)
	case f != nil && r.real && !f.real:
		return fmt.Errorf("%w: OCSF %s has no attestation_list but in unmapped", ErrMalformed, f.version)
	case f != nil && r.aside && f.real:
		return fmt.Errorf("%w: OCSF %s has its attestation_list, not one in unmapped", ErrMalformed, f.version)
	}
	return nil
}

func (r *reader) attestations() error {
	return r.object(attestationList+"[0]", (*reader).attestation)
}

// attestation reads an attestation, which is to be in the form that is expected
// where it is, and notes where its fingerprint stands, or where it belongs: behind
// chain_uid.
func (r *reader) attestation(name []byte) error {
	s := &r.s
	switch string(name) {
	case "chain_uid":
		err := r.text("chain_uid", &s.chain)
		s.cut = r.at + 1 // behind the comma
		s.cutEnd = s.cut
		return err
	case "fingerprint":
		err := r.fingerprint("fingerprint", &s.Fingerprint)
		s.cutEnd = r.at + 1
		s.exact = writes(s, r.expected, r.b, r.said(r.value))
		return err
	case "prev_event":
		return r.object("prev_event", (*reader).prevEvent)
	case "uid":
		return r.text("uid", &s.attestation)
	}
	return r.skip()
}

func (r *reader) prevEvent(name []byte) error {
	if string(name) == "fingerprint" {
		return r.fingerprint("prev_event.fingerprint", &r.s.PrevFingerprint)
	}
	return r.skip()
}

// fingerprint reads the value of a fingerprint object.
func (r *reader) fingerprint(what string, to *string) error {
	r.value = word{}
	if err := r.object(what, (*reader).fingerprintValue); err != nil {
		return err
	}
	r.keep(r.value, to)
	r.texts[len(r.texts)-1].digest = true
	if v := r.said(r.value); !isHexSHA256(v) {
		return fmt.Errorf("%w: %s is not a SHA-256 in lower-case hex: %.80q", ErrMalformed, what, v)
	}
	return nil
}

func (r *reader) fingerprintValue(name []byte) (err error) {
	if string(name) == "value" {
		r.value, err = r.word("fingerprint.value")
		return err
	}
	return r.skip()
}

func isHexSHA256[T string | []byte](s T) bool {
	strange := byte(0)
	for i := range len(s) {
		strange |= strangers[s[i]]
	}
	return len(s) == 64 && strange == 0
}

// strangers are the bytes that are no hex digits in lower case.
var strangers = func() (t [256]byte) {
	for c := range t {
		if strings.IndexByte("0123456789abcdef", byte(c)) < 0 { //nolint:gosec // an index of 256
			t[c] = 1
		}
	}
	return t
}()
