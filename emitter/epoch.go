// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// An epoch is one start of the emitter for one tenant: its sequences count from
// 1 without a gap, and each event names the fingerprint of the one before. The
// sequencer owns it.
type epoch struct {
	state epochState // after the last event that was sealed
	// durable is where the epoch stands on stable storage: what the header of a
	// new WAL file says.
	durable epochState
	// headed is the sequence up to which a signed head was stated.
	headed int64
}

// seal makes e the next event of the epoch, as a record. The epoch moves on
// only if that succeeds, so that an unfit event leaves no hole.
func (p *epoch) seal(e ocsf.Event, cfg *Config) (record, error) {
	raw, header, err := profile.SealHeader(e, profile.Link{
		Emitter: cfg.Name, Epoch: p.state.Epoch, Sequence: p.state.Sequence + 1,
		PrevUID: p.state.UID, PrevFingerprint: p.state.Fingerprint,
	})
	if err != nil {
		return record{}, fmt.Errorf("emit event: %w: %w", ErrUnfit, err)
	}
	if len(raw) > cfg.MaxEventBytes {
		return record{}, fmt.Errorf("emit event: %w: %d bytes long, the limit is %d", ErrUnfit, len(raw), cfg.MaxEventBytes)
	}
	r := record{
		sequence: header.Sequence, epoch: header.Epoch, uid: header.MetadataUID,
		subject: profile.Subject(cfg.Prefix, header), raw: raw,
	}
	if err := errors.Join(header.Admit(), r.check(), decodeHex(&r.fingerprint, header.Fingerprint)); err != nil {
		return record{}, fmt.Errorf("emit event: %w: %w", ErrUnfit, err)
	}
	p.state.Sequence, p.state.UID, p.state.Fingerprint = header.Sequence, header.MetadataUID, header.Fingerprint
	return r, nil
}
