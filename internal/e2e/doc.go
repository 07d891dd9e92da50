// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the tests that treat Docket as its operators do: real
// binaries, real child processes, kill -9, and no knowledge but what the
// commands print and the journals of the demo say.
//
// They run with the build tag e2e (`make e2e`); TestTorture runs them in a loop
// (`make torture FOR=1h`).
package e2e
