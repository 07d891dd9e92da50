// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"testing"

	"pgregory.net/rapid"
)

// The number of a day is that of its name.
func TestDayOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(-62135596800000, 253402300799999).Draw(t, "time")
		b := a + rapid.Int64Range(-2*msPerDay, 2*msPerDay).Draw(t, "later")
		if Day(dayOf(a)*msPerDay) != Day(a) || (dayOf(a) == dayOf(b)) != (Day(a) == Day(b)) {
			t.Fatalf("%d is day %d, %s; %d is day %d, %s", a, dayOf(a), Day(a), b, dayOf(b), Day(b))
		}
	})
}
