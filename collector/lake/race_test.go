// SPDX-License-Identifier: Apache-2.0

//go:build race

package lake_test

// slower is about how much longer the race detector takes. What is drawn, and the
// points at which a removal is ended, are done one after the other by the same
// goroutines: under it some are, without it all.
const slower = 4
