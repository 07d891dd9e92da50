// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"testing"
	"time"
)

// An answer that does not come is asked for again soon, unless answers take long;
// and a server that says nothing at all is not asked ever more.
func TestPatience(t *testing.T) {
	var p patience
	for i := range 2 * soonTries {
		want := soon
		if i >= soonTries {
			want = commitTimeout
		}
		if got := p.of(commitTimeout); got != want {
			t.Errorf("after %d questions without an answer: %s, want %s", i, got, want)
		}
		p.unanswered()
	}
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond: soon, time.Second: 4 * time.Second, 3 * time.Second: 12 * time.Second, time.Minute: commitTimeout,
	} {
		if p.answered(took); p.of(commitTimeout) != want {
			t.Errorf("after an answer in %s: %s, want %s", took, p.of(commitTimeout), want)
		}
	}
	p.answered(time.Minute)
	if got := p.of(answerTimeout); got != answerTimeout {
		t.Errorf("%s is beyond the limit", got)
	}
}
