// SPDX-License-Identifier: Apache-2.0

// Package jsontree reads JSON text (RFC 8259) into a flat tree that keeps every
// token as it was written: 5, 5.0 and 5e0 stay three different things, which
// they are to a validator of OCSF.
//
//	var t jsontree.Tree
//	if err := t.Parse(text); err != nil {
//		return err // a *SyntaxError that says where
//	}
//	for m := t.First(t.Root()); m != 0; m = t.Next(m) {
//		fmt.Printf("%s is a %v\n", t.Key(m), t.Kind(m))
//	}
//
// A tree is a slice of nodes in the order of the text. Parsing with a tree that
// was used before allocates nothing once the slice is large enough. Members of
// an object stay in their order, and a name that occurs twice occurs twice:
// what to make of that is up to the reader; [Tree.Find] takes the first.
package jsontree
