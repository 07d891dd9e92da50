// SPDX-License-Identifier: Apache-2.0

// Package powercut is a disk that can lose its power at any moment of the past.
// Only tests use it.
//
//	d, err := powercut.New(dir)             // work through it; it notes every step
//	d.Cut(at, other, powercut.Survival{})   // what a machine finds that lost its power at that step
//
// What was not synced may be there or not: of a file its content, by every byte or
// by sectors in any order; of a directory each name that was made, changed or
// removed; and a directory itself while the one it lies in was not synced. What
// was synced is there. The real disk beneath is written at once and never synced,
// so that the code under test can read what it wrote, and quickly.
package powercut
