// SPDX-License-Identifier: Apache-2.0

//go:build race

package collector

// manyHoles is how many an epoch has that has many. One goroutine asks for all of them,
// and takes ten times as long for it under the race detector: so there are fewer.
const manyHoles = 10_000
