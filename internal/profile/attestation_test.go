// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// TestAttestation has the attestation of a 1.9.0 event read by package ocsf: it
// is what the typed form says, and is written from there as it was sealed.
func TestAttestation(t *testing.T) {
	for i, raw := range sealed(t, "1.9.0") {
		e, err := ocsf.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		b := e.Common()
		h, err := profile.Parse(raw)
		if err != nil || len(b.AttestationList) != 1 || !slices.Contains(b.Metadata.Profiles, profile.ProfileRecordIntegrity) {
			t.Fatalf("event %d: %v, %+v, %v", i, err, b.AttestationList, b.Metadata.Profiles)
		}
		fingerprint := func(value string) *ocsf.Fingerprint {
			return &ocsf.Fingerprint{
				AlgorithmID: ocsf.FingerprintAlgorithmSHA256, Algorithm: "SHA-256", EncodingID: ocsf.FingerprintEncodingHex, Encoding: "Hex",
				SerializationID: ocsf.SerializationJCS, Serialization: "JCS", Value: value,
			}
		}
		want := ocsf.Attestation{UID: h.Epoch + ":" + strconv.Itoa(i+1), AuthorityUID: "gateway-0", ChainUID: h.Epoch, Fingerprint: fingerprint(h.Fingerprint)}
		if i > 0 {
			want.PrevEvent = &ocsf.PrevEvent{UID: fmt.Sprintf("0199d0aa-2000-7000-8000-00000000000%d", i), TypeUID: types[i-1], Fingerprint: fingerprint(h.PrevFingerprint)}
		}
		if diff := cmp.Diff(want, b.AttestationList[0]); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
		again, err := ocsf.AppendCanonical(nil, e)
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("event %d: encoded again: %v\n%s\n%s", i, err, again, raw)
		}
	}
}

// types are those of the story's events.
var types = []ocsf.TypeUID{600203, 600301, 600301, 600301, 600301, 600204}

// TestSealAgain seals events that were read, in their own version and as those
// of the other one: they come out as what was sealed first.
func TestSealAgain(t *testing.T) {
	for _, version := range profile.Versions() {
		link := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
		for i, raw := range sealed(t, version) {
			e, err := ocsf.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			again, h, err := profile.SealHeader(e, link)
			if err != nil || !bytes.Equal(again, raw) {
				t.Errorf("%s, event %d: %v\n%s", version, i, err, cmp.Diff(string(raw), string(again)))
			}
			for _, other := range profile.Versions() {
				e.Common().Metadata.Version = other
				if raw, _, err := profile.Seal(e, link); err != nil {
					t.Errorf("event %d of %s as one of %s: %v", i, version, other, err)
				} else if _, err := profile.Check(raw); err != nil {
					t.Errorf("event %d of %s as one of %s: %v", i, version, other, err)
				}
			}
			link.Sequence++
			link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
		}
	}
}

// TestVersions moves attestations to where the version does not have them.
func TestVersions(t *testing.T) {
	if v := profile.Versions(); v[0] != ocsf.DefaultVersion {
		t.Errorf("the default version is %s, not %s", v[0], ocsf.DefaultVersion)
	}
	old, now := string(sealed(t, "1.8.0")[3]), string(sealed(t, "1.9.0")[3])
	list := func(raw string) string {
		start := strings.Index(raw, `"attestation_list":[`)
		return raw[start : start+strings.Index(raw[start:], "}]")+2]
	}
	for _, c := range []struct {
		name, raw string
		want      error
	}{
		{"1.8.0 with both", strings.Replace(old, `"api":`, list(old)+`,"api":`, 1), profile.ErrMalformed},
		{"1.9.0 with both", strings.Replace(now, `"unmapped":{`, `"unmapped":{`+list(now)+`,`, 1), profile.ErrMalformed},
		{"1.9.0 with an empty one in unmapped", strings.Replace(now, `"unmapped":{`, `"unmapped":{"attestation_list":[],`, 1), profile.ErrMalformed},
		{"1.8.0 with that of 1.9.0", strings.Replace(now, `"version":"1.9.0"`, `"version":"1.8.0"`, 1), profile.ErrMalformed},
		{"1.9.0 with that of 1.8.0", strings.Replace(old, `"version":"1.8.0"`, `"version":"1.9.0"`, 1), profile.ErrMalformed},
		{"1.8.0 with none", strings.Replace(old, list(old)+`,`, ``, 1), profile.ErrIncomplete},
		{"1.9.0 with none", strings.Replace(now, list(now)+`,`, ``, 1), profile.ErrIncomplete},
		{"no version", strings.Replace(old, `,"version":"1.8.0"`, ``, 1), profile.ErrIncomplete},
		{"a version of no events", strings.Replace(old, `"version":"1.8.0"`, `"version":"1.7.0"`, 1), profile.ErrMalformed},
		{"a version before its release", strings.Replace(now, `"version":"1.9.0"`, `"version":"1.9.0-dev"`, 1), profile.ErrMalformed},
		{"a number for a version", strings.Replace(old, `"version":"1.8.0"`, `"version":1.8`, 1), profile.ErrMalformed},
	} {
		if c.raw == old || c.raw == now {
			t.Errorf("%s: not edited", c.name)
		}
		if _, err := profile.Parse([]byte(c.raw)); !errors.Is(err, c.want) {
			t.Errorf("%s: Parse: %v, want %v", c.name, err, c.want)
		}
		if _, err := profile.Check([]byte(c.raw)); !errors.Is(err, c.want) {
			t.Errorf("%s: Check: %v, want %v", c.name, err, c.want)
		}
	}
	var unknown *profile.VersionError
	for _, v := range []string{"1.7.0", "1.9.0-dev", "v1.8.0", "2"} {
		e := story("")[0]
		e.Common().Metadata.Version = v
		if _, _, err := profile.Seal(e, profile.Link{Emitter: "g", Epoch: epoch, Sequence: 1}); !errors.As(err, &unknown) || unknown.Version != v || unknown.Hint() == "" {
			t.Errorf("Seal of an event of version %s: %v", v, err)
		}
		if err := profile.CheckVersion(v); !errors.As(err, &unknown) {
			t.Errorf("CheckVersion(%s): %v", v, err)
		}
	}
	for _, v := range append(profile.Versions(), "") {
		if err := profile.CheckVersion(v); err != nil {
			t.Error(err)
		}
	}
}
