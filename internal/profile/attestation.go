// SPDX-License-Identifier: Apache-2.0

package profile

import (
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
	// with 1.9. Before, the same list is in unmapped.
	real bool

	// head is the fingerprint member up to the hex digits. The member never comes
	// last: prev_event or uid follow it.
	head string
}

// tail is what stands behind the hex digits, comma included.
const tail = `"},`

// The forms, the default first. Those of unmapped are older than the released
// schema, and stay as they were.
var (
	aside = &form{
		version: "1.8.0",
		head:    `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"serialization_id":2,"value":"`,
	}
	inPlace = &form{
		version: "1.9.0", real: true,
		head: `"fingerprint":{"algorithm":"SHA-256","algorithm_id":3,"encoding":"Hex","encoding_id":1,` +
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

// is says whether b is the member with this fingerprint.
func (f *form) is(b []byte, fingerprint string) bool {
	return len(b) == len(f.head)+len(fingerprint)+len(tail) &&
		string(b[:len(f.head)]) == f.head && string(b[len(f.head):len(b)-len(tail)]) == fingerprint && string(b[len(b)-len(tail):]) == tail
}

// put puts the attestation of link, all but its fingerprint, into the one place
// where the version has it.
func (f *form) put(b *ocsf.Base, link Link) {
	if !f.real {
		b.AttestationList = nil
		unmapped := make(map[string]any, len(b.Unmapped)+1)
		maps.Copy(unmapped, b.Unmapped)
		unmapped[attestationList] = []any{link.unmapped()}
		b.Unmapped = unmapped
		return
	}
	b.AttestationList = []ocsf.Attestation{link.attestation()}
	if !slices.Contains(b.Metadata.Profiles, ProfileRecordIntegrity) {
		b.Metadata.Profiles = append(slices.Clip(b.Metadata.Profiles), ProfileRecordIntegrity)
	}
	if _, ok := b.Unmapped[attestationList]; ok {
		b.Unmapped = maps.Clone(b.Unmapped)
		delete(b.Unmapped, attestationList)
	}
}

func (l Link) uid() string { return l.Epoch + ":" + strconv.FormatInt(l.Sequence, 10) }

func (l Link) attestation() ocsf.Attestation {
	a := ocsf.Attestation{AuthorityUID: l.Emitter, ChainUID: l.Epoch, UID: l.uid()}
	if l.PrevUID != "" {
		a.PrevEvent = &ocsf.PrevEvent{
			UID: l.PrevUID, TypeUID: ocsf.TypeUID(l.PrevTypeUID),
			// With its captions, so that an event that is verbatim has them too.
			Fingerprint: &ocsf.Fingerprint{
				AlgorithmID: ocsf.FingerprintAlgorithmSHA256, Algorithm: ocsf.FingerprintAlgorithmSHA256.String(),
				EncodingID: ocsf.FingerprintEncodingHex, Encoding: ocsf.FingerprintEncodingHex.String(),
				SerializationID: ocsf.SerializationJCS, Serialization: ocsf.SerializationJCS.String(),
				Value: l.PrevFingerprint,
			},
		}
	}
	return a
}

func (l Link) unmapped() map[string]any {
	a := map[string]any{"authority_uid": l.Emitter, "chain_uid": l.Epoch, "uid": l.uid()}
	if l.PrevUID != "" {
		a["prev_event"] = map[string]any{
			"uid":         l.PrevUID,
			"fingerprint": map[string]any{"algorithm": "SHA-256", "algorithm_id": 3, "value": l.PrevFingerprint},
		}
	}
	return a
}

// version reads metadata.version.
func (r *reader) version() error {
	if k := r.dec.PeekKind(); k != '"' {
		return r.wrong("metadata.version", "a string", k)
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		return err
	}
	for _, f := range forms {
		if string(v[1:len(v)-1]) == f.version {
			r.s.form = f
			return nil
		}
	}
	return fmt.Errorf("%w: metadata.version: %w", ErrMalformed, &VersionError{Version: string(v[1 : len(v)-1])})
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

// attest reads an attestation, which is to have form f, and notes where its fingerprint stands, or
// where it belongs: behind chain_uid.
func (r *reader) attest(raw []byte, f *form) error {
	return r.object(attestationList+"[0]", func(name []byte) error {
		switch string(name) {
		case "chain_uid":
			err := r.text("chain_uid", &r.s.chain)
			if err == nil {
				r.s.cut = int(r.dec.InputOffset()) + 1 // behind the comma
				r.s.cutEnd = r.s.cut
			}
			return err
		case "fingerprint":
			err := r.fingerprint("fingerprint", &r.s.Fingerprint)
			if err == nil {
				r.s.cutEnd = int(r.dec.InputOffset()) + 1
				r.s.exact = r.s.cutEnd <= len(raw) && r.s.cut > 0 && f.is(raw[r.s.cut:r.s.cutEnd], r.s.Fingerprint)
			}
			return err
		case "prev_event":
			return r.object("prev_event", func(name []byte) error {
				if string(name) == "fingerprint" {
					return r.fingerprint("prev_event.fingerprint", &r.s.PrevFingerprint)
				}
				return r.dec.SkipValue()
			})
		case "uid":
			return r.text("uid", &r.s.attestation)
		}
		return r.dec.SkipValue()
	})
}

// fingerprint reads the value of a fingerprint object.
func (r *reader) fingerprint(what string, to *string) error {
	err := r.object(what, func(name []byte) error {
		if string(name) == "value" {
			return r.text(what+".value", to)
		}
		return r.dec.SkipValue()
	})
	if err == nil && !isHexSHA256(*to) {
		return fmt.Errorf("%w: %s is not a SHA-256 in lower-case hex: %.80q", ErrMalformed, what, *to)
	}
	return err
}

func isHexSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
