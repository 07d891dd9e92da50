// SPDX-License-Identifier: Apache-2.0

//go:build !race

package lake_test

// slower is about how much longer the race detector takes.
const slower = 1
