// SPDX-License-Identifier: Apache-2.0

// Package ocsf is Docket's vocabulary: typed events of the Open Cybersecurity
// Schema Framework, their canonical encoding, and their decoding.
//
// An event is a struct of its class, such as [APIActivity]. What the schema
// derives from other attributes (class_uid, category_uid, type_uid and the
// captions beside enumerated ids) is derived when the event is encoded, never
// typed by hand:
//
//	e := &ocsf.APIActivity{
//		Base: ocsf.Base{ActivityID: 1, Time: 1793215000100, SeverityID: 1},
//		API:  &ocsf.API{Operation: "CreateSandbox"},
//	}
//	b, err := ocsf.Encode(e) // {"activity_id":1,"api":{"operation":"CreateSandbox"},...
//
// [Encode] returns canonical JSON in the sense of RFC 8785: equal events have
// equal bytes, so that a digest of the bytes is a digest of the event. Integers
// beyond 2^53 have no exact place in that form: Encode refuses them with an
// [InexactError], so put them into free-form attributes as strings.
//
// The classes here are those that Docket writes, in schema version 1.8.0. The
// package imports nothing else of Docket, so that it can be used on its own.
package ocsf
