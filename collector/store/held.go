// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// HeaderRequeued is the header of a message that was in quarantine and is on the
// stream once more: the ID of the [Held] that it is a copy of. Anybody may write
// it: it is believed only of what is equal to what it names.
const HeaderRequeued = "Docket-Requeued"

// A Held is a message in quarantine, by the name it has there for ever.
type Held struct {
	Quarantined

	ID         string
	StoredTime time.Time // to the millisecond
}

// A Quarantine tells what is in quarantine, oldest first. Stores that keep one
// have it.
type Quarantine interface {
	Quarantined(ctx context.Context) iter.Seq2[Held, error]
}

// Again reports whether q is h once more, and refused for the same reason: to
// keep it would tell nothing new.
func (h *Held) Again(q *Quarantined) bool {
	return slices.Equal(q.Headers[HeaderRequeued], []string{h.ID}) && q.Reason == h.Reason && q.Subject == h.Subject &&
		bytes.Equal(q.Data, h.Data) && maps.EqualFunc(SenderHeaders(q.Headers), SenderHeaders(h.Headers), slices.Equal)
}

// SenderHeaders returns the headers that are of the message's sender: not those
// that tell a server how to take it, nor [HeaderRequeued].
func SenderHeaders(all map[string][]string) map[string][]string {
	own := make(map[string][]string, len(all))
	for name, values := range all {
		if name != HeaderRequeued && !strings.HasPrefix(strings.ToLower(name), "nats-") {
			own[name] = values
		}
	}
	return own
}
