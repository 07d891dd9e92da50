// SPDX-License-Identifier: Apache-2.0

package prove

import (
	"encoding/hex"
	"fmt"

	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/internal/profile"
)

// A Proven event is what a proof that holds says, and the event's header.
type Proven struct {
	*proof.Proven
	Header profile.Header
}

// Check judges a proof under the ledger's verifier key that the reader brings
// along. Its error is [proof.ErrNoProof] or [proof.ErrNotProven] when anything
// of the proof was changed, another when the key cannot be read.
func Check(raw []byte, vkey string) (*Proven, error) {
	p, err := proof.Verify(raw, vkey)
	if err != nil {
		return nil, err
	}
	h, err := profile.Check(p.Event)
	if err != nil {
		return nil, fmt.Errorf("%w: the event: %w", proof.ErrNotProven, err)
	}
	if h.MetadataUID != p.UID || h.Tenant != p.Tenant || int64(h.ClassUID) != p.ClassUID || h.Time != p.Time || h.Fingerprint != hex.EncodeToString(p.Fingerprint[:]) {
		return nil, fmt.Errorf("%w: the event can be read in two ways", proof.ErrNotProven)
	}
	return &Proven{Proven: p, Header: h}, nil
}
