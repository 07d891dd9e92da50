// SPDX-License-Identifier: Apache-2.0

//go:build race

package emitter

// raceEnabled says whether the race detector takes its part of memory and time.
const raceEnabled = true

// slower is about how much longer it takes. Each damage and each power cut has an
// emitter start, and stop, in the same way: under the race detector one of so many
// does, without it all.
const slower = 4
