// SPDX-License-Identifier: Apache-2.0

//go:build !torture

package replay_test

// How much the tests over a world replay. With the build tag torture it is much
// more, and all of it.
const (
	unchanged  = 2000 / slower // operations of TestUnchangedChain
	catalogued = 1200          // operations that TestCatalogue has to choose from
	ofEach     = 20 / slower   // that it replays of each sort, for each change
)
