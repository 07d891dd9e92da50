// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// How an epoch ended.
const (
	ClosedByStop  = "stop"  // its own stop event is its last
	ClosedByCrash = "crash" // a later start event of its emitter says where it ended
)

// A Closed says that an epoch has no event beyond LastSequence.
type Closed struct {
	Epoch        string `json:"epoch"`
	LastSequence int64  `json:"last_sequence"`
	Fingerprint  string `json:"fingerprint"` // of the last event
	By           string `json:"by"`          // ClosedByStop or ClosedByCrash
}

// Closing returns the epochs that an event ends: a stop event its own, a start
// event those that it found unfinished. Whether the event may speak for an
// epoch of another emitter or tenant is for the caller to judge.
func Closing(h profile.Header, raw []byte) ([]Closed, error) {
	if h.ClassUID != int32(ocsf.ClassApplicationLifecycle) || h.Kind != profile.KindLifecycle {
		return nil, nil
	}
	switch h.ActivityID {
	case int32(ocsf.ApplicationLifecycleStop):
		return []Closed{{Epoch: h.Epoch, LastSequence: h.Sequence, Fingerprint: h.Fingerprint, By: ClosedByStop}}, nil
	case int32(ocsf.ApplicationLifecycleStart):
		var e struct {
			Unmapped struct {
				Docket struct {
					Closes []Closed `json:"closes"`
				} `json:"docket"`
			} `json:"unmapped"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("read what event %s closes: %w", h.MetadataUID, err)
		}
		closes := e.Unmapped.Docket.Closes
		for i := range closes {
			closes[i].By = ClosedByCrash
		}
		return closes, nil
	}
	return nil, nil
}
