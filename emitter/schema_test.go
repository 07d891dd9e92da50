// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Everything that an emitter says itself is clean OCSF, in both versions.
func TestOwnEventsAreOCSF(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range profile.Versions() {
		t.Run(version, func(t *testing.T) {
			e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", Key: key, Version: version})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close(within(t)) })
			// A sequencer beside the emitter's own, whose events go nowhere.
			s := newSequencer(e, nil)
			p := &epoch{state: epochState{Epoch: newUID(), Tenant: "acme"}}
			prev := int64(0)
			crashed := []epochState{{Epoch: newUID(), Tenant: "acme", Sequence: 7, UID: newUID(), Fingerprint: KeyID(pub) + KeyID(pub)}}
			for _, c := range []struct {
				what string
				make func() ocsf.Event
			}{
				{"start", func() ocsf.Event { return s.startEvent("acme", nil) }},
				{"start after a crash", func() ocsf.Event { return s.startEvent("acme", crashed) }},
				{"event of a caller", func() ocsf.Event { return event("acme", "payload") }},
				{"head", func() ocsf.Event { return s.headEvent(p) }},
				{"custody", func() ocsf.Event { return s.custodyEvent("acme", map[string]int64{p.state.Epoch: 7}) }},
				{"damage", func() ocsf.Event {
					return s.damageEvent(notice{damage: damage{file: "1.wal", from: 1, to: 2, reason: "checksum"}, err: errors.New("disk full")})
				}},
				{"gap", func() ocsf.Event {
					return s.gapFinding(gapKey{"acme", reasonQueueFull}, &gap{count: 3, first: 1_793_215_000_100, last: 1_793_215_000_200})
				}},
				{"stop", func() ocsf.Event { return s.stopEvent(p) }},
			} {
				head := profile.Header{Epoch: p.state.Epoch, Sequence: p.state.Sequence, Fingerprint: p.state.Fingerprint}
				event := c.make()
				s.complete(event)
				r, err := p.seal(event, &e.cfg)
				if err != nil {
					t.Fatal(err)
				}
				wantClean(t, c.what, version, r.raw)
				wantPrevType(t, c.what, version, r.raw, prev)
				prev = p.typeUID
				if c.what == "head" || c.what == "stop" {
					wantHead(t, pub, r.raw, head)
				}
			}
		})
	}
}

func wantClean(t *testing.T, what, version string, raw []byte) {
	t.Helper()
	report, err := ocsf.Validate(raw, version, ocsf.ModeServer)
	if err != nil {
		t.Fatal(err)
	}
	for _, issue := range append(report.Errors, report.Warnings...) {
		t.Errorf("%s: %s %s: %s", what, issue.Code, issue.Path, issue.Message)
	}
	d, err := ocsf.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Common().Metadata.Version; got != version {
		t.Errorf("%s is of version %q", what, got)
	}
}

// wantPrevType checks that an event names the type of the one before where its
// version has a place for that.
func wantPrevType(t *testing.T, what, version string, raw []byte, prev int64) {
	t.Helper()
	d, err := ocsf.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	got := int64(0)
	if list := d.Common().AttestationList; len(list) == 1 && list[0].PrevEvent != nil {
		got = int64(list[0].PrevEvent.TypeUID)
	}
	if version == ocsf.DefaultVersion {
		prev = 0
	}
	if got != prev {
		t.Errorf("%s names type %d before it, want %d", what, got, prev)
	}
}

// wantHead checks that an event states the head before it, signed, in the place
// that no version of OCSF has an attribute for.
func wantHead(t *testing.T, pub ed25519.PublicKey, raw []byte, want profile.Header) {
	t.Helper()
	var e struct {
		Unmapped struct {
			Docket struct {
				Head struct {
					profile.Header // epoch, sequence, fingerprint

					Signature string `json:"signature"`
				} `json:"head"`
			} `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	got := e.Unmapped.Docket.Head
	signature, err := base64.StdEncoding.DecodeString(got.Signature)
	if err != nil || got.Header != want || !ed25519.Verify(pub, HeadMessage(got.Epoch, got.Sequence, got.Fingerprint), signature) {
		t.Errorf("the head of %+v is stated as %+v (%v)", want, got, err)
	}
}
