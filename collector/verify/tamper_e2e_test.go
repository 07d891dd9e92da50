// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package verify

import "testing"

// What a newcomer's tests do to few bytes, done to more; torture does it to all.

func TestManyFlips(t *testing.T) { flips(t, tamperDice(t, 10), 8, 1) }

func TestManyTruncations(t *testing.T) { truncations(t, tamperDice(t, 11), 64) }

func TestEveryLeaf(t *testing.T) {
	t.Parallel() // on one goroutine
	everyLeaf(t, 0, 1)
}

func TestCleanDirectories(t *testing.T) {
	t.Parallel() // on one goroutine
	cleans(t, 10, 200)
}
