// SPDX-License-Identifier: Apache-2.0

// Package secretwalk finds the fields of protobuf messages that hold
// credentials.
//
// A field is secret when its descriptor carries option 50001 (or another, see
// [Walk]) of google.protobuf.FieldOptions, a bool. The option is read from the encoded
// options by its number: schemas that arrive at run time, from a descriptor set
// or by reflection, are understood whether or not the option's own file came
// with them.
//
// Everything is built on one walk, so that nothing can disagree: [Walk.Redact]
// says what of a message may be shown and recorded, [Walk.Dropped] what was left
// out of that, [Walk.Hides] which JSON Pointers a patch must not touch.
package secretwalk
