// SPDX-License-Identifier: Apache-2.0

package schema

// A Schema is one version of OCSF, compiled: inheritance, includes, profiles and
// platform extensions are resolved, so that each class and object lists every
// attribute that it can have.
//
// A Schema is shared and MUST NOT be changed.
type Schema struct {
	Version    string // such as "1.8.0"
	Categories map[string]*Category
	Extensions map[string]*Extension
	// Profiles by the name that metadata.profiles uses: that of an extension's
	// profile has the extension before it, as in "linux/linux_users".
	Profiles map[string]*Profile
	Types    map[string]*Type
	Classes  map[string]*Class
	Objects  map[string]*Object
}

// A Category groups classes.
type Category struct {
	Name    string
	Caption string
	UID     int
}

// An Extension adds classes, objects and attributes for one platform.
type Extension struct {
	Name    string
	Caption string
	UID     int
	Version string
}

// A Profile is a set of attributes that an event takes on by naming the profile
// in metadata.profiles.
type Profile struct {
	Name      string // as in [Schema.Profiles]
	Caption   string
	Extension string
}

// A Type is a data type. Of the primitives (boolean_t, integer_t, long_t,
// float_t, string_t, json_t) Super is empty.
type Type struct {
	Name    string
	Caption string
	Super   string // the name of the primitive that the type narrows
	Regex   string // empty: any; the dialect is PCRE, all of them are RE2 too
	MaxLen  int    // 0: any
	// Range holds the least and the greatest value, both allowed; nil: any.
	Range *[2]int64
	// Values holds the only values, as JSON; nil: any.
	Values []any
}

// A Deprecation says since which version something should not be used.
type Deprecation struct{ Since string }

// An Item is what classes and objects have in common.
type Item struct {
	Name      string
	Caption   string
	Extends   string
	Extension string
	Profiles  []string // sorted
	// Deprecated is nil for what is in use.
	Deprecated *Deprecation
	// Constraints maps a keyword, at_least_one or just_one, to attribute names
	// (in the schema's order).
	Constraints map[string][]string
	Attributes  map[string]*Attribute
}

// A Class is a kind of event.
type Class struct {
	Item
	UID      int
	Category string // the category's name, "other" for the base event
	// CategoryUID is that of the base category; 0 for the base event.
	CategoryUID int
}

// An Object is a structure that attributes hold.
type Object struct{ Item }

// A Requirement says how much an attribute is asked for.
type Requirement string

// The requirements.
const (
	Required    Requirement = "required"
	Recommended Requirement = "recommended"
	Optional    Requirement = "optional"
)

// An Attribute is an attribute as one class or object has it.
type Attribute struct {
	Name    string
	Caption string
	// Type is the name of a data type, or "object_t", of which ObjectType then
	// names the object.
	Type        string
	ObjectType  string
	IsArray     bool
	Requirement Requirement
	// Profiles: the attribute is there only in an event that names one of them.
	// Empty: it is always there. Sorted.
	Profiles []string
	// Sibling names the attribute that holds the caption of this one's value.
	Sibling string
	// Enum holds the only values, in the order of their numbers, or else of
	// their texts; nil: any.
	Enum       []EnumValue
	Deprecated *Deprecation
}

// An EnumValue is one of an attribute's values. Value is the key in the schema:
// the decimal text of a number, or the string itself.
type EnumValue struct {
	Value      string
	Caption    string
	Deprecated *Deprecation
}
