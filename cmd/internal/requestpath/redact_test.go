// SPDX-License-Identifier: Apache-2.0

package requestpath

import "testing"

func TestRedactedShowsNoPassword(t *testing.T) {
	got := Redacted("nats://collector:secret@nats-1:4222, nats://nats-2:4222")
	if want := "nats://collector:xxxxx@nats-1:4222,nats://nats-2:4222"; got != want {
		t.Errorf("Redacted = %q, want %q", got, want)
	}
}
