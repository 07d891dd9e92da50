// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// attested encodes e with the attestation of l as package ocsf has values for it.
func attested(t *testing.T, e ocsf.Event, l profile.Link, fingerprint string) []byte {
	t.Helper()
	b := e.Common()
	uid := l.Epoch + ":" + strconv.FormatInt(l.Sequence, 10)
	sum := func(value string) *ocsf.Fingerprint {
		return &ocsf.Fingerprint{
			AlgorithmID: ocsf.FingerprintAlgorithmSHA256, EncodingID: ocsf.FingerprintEncodingHex, SerializationID: ocsf.SerializationJCS, Value: value,
		}
	}
	if b.Metadata.Version == "1.9.0" {
		a := ocsf.Attestation{AuthorityUID: l.Emitter, ChainUID: l.Epoch, UID: uid}
		if fingerprint != "" {
			a.Fingerprint = sum(fingerprint)
		}
		if l.PrevUID != "" {
			a.PrevEvent = &ocsf.PrevEvent{UID: l.PrevUID, TypeUID: ocsf.TypeUID(l.PrevTypeUID), Fingerprint: sum(l.PrevFingerprint)}
		}
		b.AttestationList = []ocsf.Attestation{a}
	} else {
		a := map[string]any{"authority_uid": l.Emitter, "chain_uid": l.Epoch, "uid": uid}
		if fingerprint != "" {
			a["fingerprint"] = map[string]any{"algorithm": "SHA-256", "algorithm_id": 3, "serialization_id": 2, "value": fingerprint}
		}
		if l.PrevUID != "" {
			a["prev_event"] = map[string]any{
				"uid": l.PrevUID, "fingerprint": map[string]any{"algorithm": "SHA-256", "algorithm_id": 3, "value": l.PrevFingerprint},
			}
		}
		b.Unmapped = maps.Clone(b.Unmapped)
		if b.Unmapped == nil {
			b.Unmapped = map[string]any{}
		}
		b.Unmapped["attestation_list"] = []any{a}
	}
	raw, err := ocsf.AppendCanonical(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGaps seals events whose attestation comes first, last, alone and between
// others, in objects that are there and in such that are not. What is sealed is, to
// the byte, what the attestation would be as values of the event.
func TestGaps(t *testing.T) {
	unmapped := map[string]map[string]any{
		"none": nil, "empty": {}, "before": {"aa": 1}, "behind": {"docket": map[string]any{"plan": "p"}}, "around": {"aa": "x", "attestation_lis": 1, "zz": []any{}},
		"an old attestation": {"attestation_list": []any{1}, "zz": 1}, "nothing else": {"attestation_list": "x"},
	}
	links := map[string]profile.Link{
		"first":       {Emitter: "gateway-0", Epoch: epoch, Sequence: 1},
		"later":       {Emitter: "gateway-0", Epoch: epoch, Sequence: 2, PrevUID: "u", PrevFingerprint: hexOf("x"), PrevTypeUID: 600301},
		"of no type":  {Emitter: "gateway-0", Epoch: epoch, Sequence: 1 << 40, PrevUID: "é\"\u2028", PrevFingerprint: hexOf("y")},
		"odd emitter": {Emitter: "g\"w\\\x1b\u007f é 😀", Epoch: "e\"poch", Sequence: 3, PrevUID: "u", PrevFingerprint: hexOf("z"), PrevTypeUID: 1},
	}
	events := map[string]func(version string) ocsf.Event{
		"a result":   func(v string) ocsf.Event { return story(v)[2] },
		"a start":    func(v string) ocsf.Event { return story(v)[0] },
		"a finding":  func(v string) ocsf.Event { return finding(v, 0) },
		"one behind": func(v string) ocsf.Event { return finding(v, ocsf.VerdictFalsePositive) }, // verdict comes after unmapped
	}
	for _, version := range profile.Versions() {
		for what, event := range events {
			for where, u := range unmapped {
				for which, l := range links {
					name := fmt.Sprintf("%s, %s, unmapped %s, link %s", version, what, where, which)
					e := event(version)
					e.Common().Unmapped = maps.Clone(u)
					raw, h, err := profile.AppendSealed([]byte("before"), e, l)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					raw, ok := bytes.CutPrefix(raw, []byte("before"))
					if !ok {
						t.Fatalf("%s: what was there is gone", name)
					}
					if p, err := profile.Check(raw); err != nil || subjectAndPlace(p) != h {
						t.Errorf("%s: %v\n%s", name, err, cmp.Diff(h, subjectAndPlace(p)))
					}
					if _, left := e.Common().Unmapped["attestation_list"]; left || len(e.Common().AttestationList) > 0 {
						t.Errorf("%s: the event has an attestation itself", name)
					}
					sum := sha256.Sum256(attested(t, e, l, ""))
					if want := attested(t, e, l, hex.EncodeToString(sum[:])); !bytes.Equal(raw, want) {
						t.Errorf("%s:\n%s", name, cmp.Diff(string(want), string(raw)))
					}
				}
			}
		}
	}
}

// subjectAndPlace is what of h an emitter knows at once.
func subjectAndPlace(h profile.Header) profile.Header {
	return profile.Header{
		MetadataUID: h.MetadataUID, Time: h.Time, Tenant: h.Tenant, Kind: h.Kind, Decision: h.Decision, ClassUID: h.ClassUID, TypeUID: h.TypeUID,
		ActivityID: h.ActivityID, SeverityID: h.SeverityID, StatusID: h.StatusID, Service: h.Service, Method: h.Method, Ran: h.Ran, DurationMS: h.DurationMS,
		Emitter: h.Emitter, Epoch: h.Epoch, Sequence: h.Sequence, Fingerprint: h.Fingerprint, PrevFingerprint: h.PrevFingerprint,
	}
}

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func finding(version string, verdict ocsf.VerdictID) ocsf.Event {
	e := &ocsf.DetectionFinding{FindingInfo: &ocsf.FindingInfo{UID: "f", Title: "t"}, VerdictID: verdict}
	e.Base = *story(version)[2].Common()
	return e
}
