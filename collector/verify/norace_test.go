// SPDX-License-Identifier: Apache-2.0

//go:build !race

package verify

// slower is about how much longer the race detector takes.
const slower = 1

// commitsBeside is how many an owner makes while others verify.
const commitsBeside = 8
