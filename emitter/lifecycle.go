// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// closes says where an epoch ended that did not stop: an element of
// unmapped.docket.closes of a start event.
type closes struct {
	Epoch        string `json:"epoch"`
	LastSequence int64  `json:"last_sequence"`
	Fingerprint  string `json:"fingerprint"`
}

// HeadMessage returns what a head event's signature is over: the end of a hash
// chain.
func HeadMessage(epoch string, sequence int64, fingerprint string) []byte {
	return fmt.Appendf(nil, "docket-head\n%s\n%d\n%s\n", epoch, sequence, fingerprint)
}

// KeyID names an emitter's public key in start, head and stop events: half the
// SHA-256 of it, in hex.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// lifecycle returns an event about the emitter itself, class 6002. docket goes
// to unmapped.docket.
func (s *sequencer) lifecycle(tenant string, activity ocsf.ApplicationLifecycleActivityID, name, message string, docket map[string]any) *ocsf.ApplicationLifecycle {
	return &ocsf.ApplicationLifecycle{
		ActivityID: activity, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActivityName: name, Time: s.e.cfg.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational, Message: message,
			Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle, TenantUID: tenant},
			Unmapped: map[string]any{profile.Unmapped: docket},
		},
	}
}

// startEvent opens an epoch, and closes those that a crash left open. It names
// the key of the epoch's heads, so that who reads one knows from its first event
// on which key its end must be signed with. The next start may have another.
func (s *sequencer) startEvent(tenant string, crashed []epochState) ocsf.Event {
	docket := map[string]any{"lifecycle": "start"}
	if s.keyID != "" {
		docket["key"] = s.keyID
	}
	message := "emitter " + s.e.cfg.Name + " started"
	if len(crashed) > 0 {
		list := make([]any, len(crashed))
		for i, c := range crashed {
			list[i] = closes{Epoch: c.Epoch, LastSequence: c.Sequence, Fingerprint: c.Fingerprint}
		}
		docket["closes"] = list
		message += fmt.Sprintf(" after a crash, %d earlier epochs closed", len(crashed))
	}
	return s.lifecycle(tenant, ocsf.ApplicationLifecycleStart, "", message, docket)
}

// stopEvent is the last of its epoch.
func (s *sequencer) stopEvent(p *epoch) ocsf.Event {
	return s.lifecycle(p.state.Tenant, ocsf.ApplicationLifecycleStop, "", "emitter "+s.e.cfg.Name+" stopped",
		map[string]any{"lifecycle": "stop", "head": s.head(p)})
}

func (s *sequencer) headEvent(p *epoch) ocsf.Event {
	return s.lifecycle(p.state.Tenant, ocsf.ApplicationLifecycleOther, "Head", fmt.Sprintf("head of the hash chain at sequence %d", p.state.Sequence),
		map[string]any{"lifecycle": "head", "head": s.head(p)})
}

// head states the end of p's hash chain as it is now, before the event that
// will carry the statement.
func (s *sequencer) head(p *epoch) map[string]any {
	h := map[string]any{"epoch": p.state.Epoch, "sequence": p.state.Sequence, "fingerprint": p.state.Fingerprint}
	if key := s.e.cfg.Key; key != nil {
		h["algorithm"] = "Ed25519"
		h["key"] = s.keyID
		h["signature"] = base64.StdEncoding.EncodeToString(ed25519.Sign(key, HeadMessage(p.state.Epoch, p.state.Sequence, p.state.Fingerprint)))
	}
	return h
}

// damageEvent tells that acknowledged events were lost in the WAL. Those that
// had reached the stream before are safe there.
func (s *sequencer) damageEvent(n notice) ocsf.Event {
	docket := map[string]any{"lifecycle": "recovery", "damage": map[string]any{
		"file": n.file, "from": n.from, "to": n.to, "reason": n.reason, "copy": n.copied,
	}}
	message := fmt.Sprintf("WAL file %s is damaged from byte %d to %d: %s", n.file, n.from, n.to, n.reason)
	if n.err != nil {
		message += "; no copy could be kept: " + n.err.Error()
	}
	e := s.lifecycle(profile.TenantDocket, ocsf.ApplicationLifecycleOther, "Recovery", message, docket)
	e.SeverityID, e.StatusID = ocsf.SeverityCritical, ocsf.StatusFailure
	return e
}

// custodyEvent tells that the events of epochs, each up to a sequence, are from now
// on in the custody of the stream alone.
func (s *sequencer) custodyEvent(tenant string, last map[string]int64) ocsf.Event {
	docket := map[string]any{"lifecycle": "custody", "custody": "stream"}
	message := fmt.Sprintf("WAL nearly full: events of %d epochs are in the custody of the stream alone", len(last))
	list := make([]any, 0, len(last))
	for _, epoch := range slices.Sorted(maps.Keys(last)) {
		if len(last) == 1 {
			docket["epoch"], docket["last_sequence"] = epoch, last[epoch]
			message = fmt.Sprintf("WAL nearly full: events up to sequence %d of epoch %s are in the custody of the stream alone", last[epoch], epoch)
			break
		}
		list = append(list, map[string]any{"epoch": epoch, "last_sequence": last[epoch]})
	}
	if len(list) > 0 {
		docket["epochs"] = list
	}
	e := s.lifecycle(tenant, ocsf.ApplicationLifecycleOther, "Custody", message, docket)
	e.SeverityID = ocsf.SeverityMedium
	return e
}

func decodeHex(to *[32]byte, s string) error {
	if hex.DecodedLen(len(s)) != len(to) {
		return fmt.Errorf("fingerprint %q", s)
	}
	_, err := hex.Decode(to[:], []byte(s))
	return err
}
