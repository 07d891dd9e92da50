// SPDX-License-Identifier: Apache-2.0

//go:build torture

package replay_test

// How much the tests over a world replay.
const (
	unchanged  = 102_000 // of which nothing is left of some
	catalogued = 5000
	ofEach     = catalogued
)

var _ = slower
