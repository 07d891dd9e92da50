// SPDX-License-Identifier: Apache-2.0

// Package ocsf is Docket's vocabulary, and everybody's: events of the Open
// Cybersecurity Schema Framework as Go types, written, read and validated.
//
// An event is a struct of its class, such as [APIActivity], with the attributes
// of all classes in [Base]. It is written with constants, and without what
// follows from them: class_uid, category_uid, type_uid and the captions beside
// enum values are derived when the event is encoded.
//
//	e := &ocsf.APIActivity{
//		ActivityID: ocsf.APIActivityCreate,
//		Base: ocsf.Base{
//			Time: 1793215000100, SeverityID: ocsf.SeverityInformational,
//			API: &ocsf.API{Operation: "CreateSandbox"},
//		},
//	}
//	b, err := ocsf.Encode(e) // {"activity_id":1,"activity_name":"Create","api":{"operation":"CreateSandbox"},...
//
// # Versions
//
// One set of types serves OCSF 1.6.0 to 1.9.0, all classes, objects, profiles
// and platform extensions: no attribute has changed its type between them. Which
// version an event is of is what its metadata.version says. [Encode] takes
// captions from that version and refuses attributes and classes that it lacks;
// the rest, such as values that an enum does not have yet, is for [Validate] to
// say, which is told the version. Comments on fields are those of the newest version.
//
// # Zero and nothing
//
// A field that is zero is left out, but for numbers that the version requires:
// severity_id 0 is written, and says Unknown. Optional numbers and booleans, where zero is something else than nothing, are pointers:
// new(int64(0)), new(false). A slice that is empty but not nil is written. Enum
// values, times, ports and strings are plain: to write a zero of one that is not
// required, or a null, or an attribute that the schema does not know, use [Extra].
//
// # Reading
//
// [Decode] is lossless: encoding what it returns gives the same JSON value, and
// valid or not makes no difference as long as each value fits its Go type. The
// event is [Base.Verbatim]: to change it, [Edit] it first. Free-form values
// (json_t, unmapped) stay [Raw], with their number tokens; an integer beyond 2^53
// in one is read, but has no canonical form, so that encoding refuses it.
//
// # Canonical form
//
// [Append] and [Encode] write canonical JSON in the sense of RFC 8785, in which
// equal events have equal bytes, so that a digest of the bytes is a digest of
// the event. There are two exceptions, for the schema's sake, which
// [AppendCanonical] does not make: a float_t keeps a fraction on the wire, as
// validators demand 5.0 where RFC 8785 says 5, and integer attributes have all of
// their 64 bits. In free-form values an integer beyond 2^53 is an [*InexactError]:
// put it there as a string.
//
// The package needs Go 1.26. It imports nothing of Docket outside of it but
// schemas/ocsf, the catalogs, which are in a program only if it validates; and
// of others go-json-experiment/json and uniseg.
package ocsf
