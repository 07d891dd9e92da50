// SPDX-License-Identifier: Apache-2.0

//go:build !race

package emitter

// raceEnabled says whether the race detector takes its part of memory and time.
const raceEnabled = false

// slower is about how much longer it takes.
const slower = 1
