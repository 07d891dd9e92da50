// SPDX-License-Identifier: Apache-2.0

// Package prove makes the proof of one event out of a data directory, and judges
// such proofs.
//
//	m, err := prove.Make(ctx, "docket-data", uid, prove.Options{})
//	os.Stdout.Write(m.Proof)
//	...
//	proven, err := prove.Check(file, vkey) // anywhere, without the directory
//
// Making needs no lock: the directory may have a living owner, who compacts it
// meanwhile. What is made is checked before it is returned, so that a damaged
// directory gives no proof instead of a wrong one.
//
// The proof itself is [proof.EventProof]; that package judges it with nothing but
// signatures and hashes. [Check] goes on from there: it reads the event with the
// reader that the store, the queries and the replay have, and refuses a proof
// about whose event the two readers do not agree.
package prove
