// SPDX-License-Identifier: Apache-2.0

// Package schema holds what the Open Cybersecurity Schema Framework says, as
// data: which classes, objects, attributes, types, profiles and enumerations a
// version has. The typed events of package ocsf are generated from it, and its
// validator is driven by it.
//
// [Load] answers for the versions in [Versions] from catalogs that are built
// into the program; a program that never calls it does not carry them.
// [ReadCompiled] reads any other schema, your own extensions included, from the
// output of the official compiler. [Write] and [Read] are for catalogs, the
// same facts in a twentieth of the bytes and without prose; their format is
// described in schemas/ocsf/README.md.
//
//	s, err := schema.Load(schema.Default)
//	if err != nil {
//		return err
//	}
//	for name, a := range s.ClassByUID(6003).Attributes {
//		fmt.Println(name, a.Type, a.Requirement)
//	}
//
// A schema that was read is whole: each type and object that an attribute names
// is there, and no two classes share a uid. It is not a judgement of the schema
// itself, which may well contradict itself: constraints that name attributes
// that do not exist are kept as they are, because validators have to cope with
// them.
package schema

//go:generate go run ../internal/gen -compiled ../../../shared/ocsf/schema -catalogs ../../schemas/ocsf/catalog -go ..
