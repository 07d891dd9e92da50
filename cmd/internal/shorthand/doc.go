// SPDX-License-Identifier: Apache-2.0

// Package shorthand prints events of OCSF as OpenShell prints its own, one line
// each, for eyes and scripts that are used to its log:
//
//	NET:OPEN [INFO] ALLOWED python3(42) -> api.example.com:443 [policy:default-egress engine:mechanistic]
//	FINDING:BLOCKED [HIGH] "NSSH1 Nonce Replay Attack" [type:nssh1-replay-abc confidence:high]
//
// The lines are OpenShell's, byte by byte, with one difference: OpenShell writes
// names, addresses, messages and command lines as they are, and who controls them
// can forge a line or a part of one. Here whatever comes out of an event is
// escaped: control characters, those that turn or hide text, backslashes, and the
// brackets that parts begin and end with; in names and addresses spaces too. What
// holds none of these is not changed.
//
// OpenShell has no line for what a gateway decides of a call. Docket's is made in
// the same way: API:CREATE [INFO] DENIED alice -> CreateSandbox [policy:images
// engine:result] [reason:...].
package shorthand
