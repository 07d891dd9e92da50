// SPDX-License-Identifier: Apache-2.0

// Package rules says what is wrong with an event of a version of OCSF. It is
// the engine behind the validator of package ocsf, which documents the modes.
//
// [Compile] turns a schema into tables once: attributes by name, enumerations
// by the text of their values, types with their patterns compiled. Which
// profiles an event has taken on is a set of bits, and each attribute knows the
// bits that bring it in: so one set of tables serves every combination of
// profiles, and an event cannot make a program compile, or keep, anything.
//
// [Tables.Event] then walks the event once beside its class. An object's
// members are first sorted into slots, one for each attribute: what is required
// and missing, which of two members of the same name counts (the first), whether
// a constraint's attributes are there and what stands beside an enumeration all
// are one look into a slot. A walk reuses its memory; an event without faults
// costs two allocations, its report and its uid.
//
// The rules of the official server are followed to where its language shows:
// texts of enumerations are what Elixir's to_string makes of a value, patterns
// see bytes, and lengths are counted in grapheme clusters.
package rules
