// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"slices"
)

// Raw is a JSON value as it was read: number tokens, order and white space are
// those of the source. [Append] writes its canonical form.
type Raw []byte

// MarshalJSON implements json.Marshaler, for those who print events otherwise.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Raw) UnmarshalJSON(b []byte) error {
	*r = slices.Clone(b)
	return nil
}

// A Member is one member of a JSON object.
type Member struct {
	Name  string
	Value Raw
}

// Extra holds what the JSON of an event or object had and no field of its Go
// type can tell: attributes that the schema does not know, nulls, and zeros
// and empty strings of attributes that a field leaves out when it is zero.
// [Decode] fills it, so that nothing is lost on the way.
//
// To write such a member, add it here. A field that is set wins over a member
// of the same name, and so does what is derived.
type Extra []Member

// Get returns the value of the member called name, or nil.
func (x Extra) Get(name string) Raw {
	for _, m := range x {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

func compareMembers(a, b Member) int { return compareUTF16(a.Name, b.Name) }

// sorted returns x in canonical order, x itself where it is so already.
func (x Extra) sorted() Extra {
	if slices.IsSortedFunc(x, compareMembers) {
		return x
	}
	s := slices.Clone(x)
	slices.SortStableFunc(s, compareMembers)
	return s
}
