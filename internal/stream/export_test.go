// SPDX-License-Identifier: Apache-2.0

package stream

import "time"

// SetPatience says how long a server may refuse.
func (m *Messages) SetPatience(d time.Duration) { m.patience = d }

// Hasten has m read as if the stream grew fast, so many messages behind its end, until
// there are no more.
func (m *Messages) Hasten(distance int64) {
	m.pace.behind, m.pace.least, m.pace.since = true, distance, time.Now().Add(time.Hour)
}
