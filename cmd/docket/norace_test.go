// SPDX-License-Identifier: Apache-2.0

//go:build !race

package main

// underRace says that the race detector is on, under which long stories take long:
// without it they are told whole.
const underRace = false
