// SPDX-License-Identifier: Apache-2.0

// Package profile is what all of Docket agrees on about its own events, beyond
// OCSF: their kinds, the subjects they are published on, the message headers
// beside them, and the links that make the events of an epoch a hash chain.
//
// An event is sealed once, by the emitter, and its bytes never change again:
//
//	raw, fingerprint, err := profile.Seal(event, link)
//	subject := profile.Subject(profile.Prefix, header)
//
// [Seal] attests the event, in the shape that OCSF 1.9 gives to record
// integrity: the epoch as chain_uid, the previous event's uid and fingerprint,
// and the fingerprint of this event, which is the SHA-256 over its canonical
// bytes without the fingerprint itself. The one attestation is in
// attestation_list in events of OCSF 1.9.0, and in unmapped.attestation_list in
// those of 1.8.0, whose schema lacks it. [Versions] are those that there are.
//
// Everyone else reads. [Parse] makes a [Header] of the bytes in one pass;
// [Check] does the same and also verifies the fingerprint. Both judge the bytes
// alone: whether an event follows its predecessor is for those who see both.
// [ParseTree] also says where in the bytes each value is, for those who read more.
// A [Series] reads, and a [Sealer] seals, many events that are alike for less.
//
// The package never looks into payloads.
package profile
