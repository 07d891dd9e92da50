// SPDX-License-Identifier: Apache-2.0

//go:build race

package verify

// slower is about how much longer the race detector takes. It looks for what two
// goroutines do at a time, and a run of verify does that with every file alike: so
// under it the tests that go through files, columns and bytes take one of so many.
// Without it they take all.
const slower = 8

// commitsBeside is how many an owner makes while others verify, which is what the race
// detector looks at: so under it there are more of them.
const commitsBeside = 24
