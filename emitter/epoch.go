// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// An epoch is one start of the emitter for one tenant: its sequences count from
// 1 without a gap, and each event names the fingerprint of the one before. The
// sequencer owns it.
type epoch struct {
	sealer *profile.Sealer // of all epochs of a sequencer
	state  epochState      // after the last event that was sealed
	// written is where it stood after the bundle that is being synced, and durable
	// where it stands on stable storage: what the header of a new WAL file says.
	written, durable epochState
	// typeUID is the last event's. It is of no use after a crash: epochs begin anew.
	typeUID int64
	// headed is the sequence up to which a signed head was stated.
	headed int64
	// touched says that the bundle that is being built has events of it; used is
	// when one had last, by the sequencer's count of bundles.
	touched bool
	used    int64
}

// bounds are what an event must keep within, or is not sealed.
type bounds struct {
	canaries []Canary
	most     int // bytes
}

// sealSafely is sealWithin for events of anybody, whose payloads may have methods
// that panic: then the event is none, and the epoch stands where it stood.
func (p *epoch) sealSafely(b bounds, room []byte, e ocsf.Event, cfg *Config) (r record, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			cfg.Logger.Error("encoding an event panicked", "panic", panicked, "stack", string(debug.Stack()))
			r, err = record{}, fmt.Errorf("emit event: %w: encoding it panicked: %v", ErrUnfit, panicked)
		}
	}()
	return p.sealWithin(b, room, e, cfg)
}

// sealWithin makes e, which must keep within b, the next event of the epoch, as a
// record. Its bytes are in room, which is empty, if they fit there. The epoch moves on
// only if that succeeds, so that an unfit event leaves no hole.
func (p *epoch) sealWithin(b bounds, room []byte, e ocsf.Event, cfg *Config) (record, error) {
	raw, header, err := p.sealer.Append(room, e, profile.Link{
		Emitter: cfg.Name, Epoch: p.state.Epoch, Sequence: p.state.Sequence + 1,
		PrevUID: p.state.UID, PrevFingerprint: p.state.Fingerprint, PrevTypeUID: p.typeUID,
	})
	if err != nil {
		return record{}, fmt.Errorf("emit event: %w: %w", ErrUnfit, err)
	}
	if canary := sighted(b.canaries, raw); canary != nil {
		return record{}, canary
	}
	if len(raw) > b.most {
		return record{}, &tooLongError{len(raw), b.most}
	}
	r := record{
		sequence: header.Sequence, epoch: header.Epoch, uid: header.MetadataUID,
		subject: profile.Subject(cfg.Prefix, header), raw: slices.Clip(raw),
	}
	if err := errors.Join(header.Admit(), r.check(), decodeHex(&r.fingerprint, header.Fingerprint)); err != nil {
		return record{}, fmt.Errorf("emit event: %w: %w", ErrUnfit, err)
	}
	p.state.Sequence, p.state.UID, p.state.Fingerprint = header.Sequence, header.MetadataUID, header.Fingerprint
	p.typeUID = header.TypeUID
	return r, nil
}
