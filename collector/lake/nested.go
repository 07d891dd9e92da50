// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"

	catalog "github.com/docket-audit/docket/ocsf/schema"
)

// Beside the columns of every segment, a public file has the attributes of its
// OCSF class under their own names, as structs and lists with the catalog's
// types, so that those who know OCSF find what they know. They follow from _raw
// and add nothing to it: a value that is not of its attribute's type is null.

// ColumnTimeDT is the event time as those who know no milliseconds since 1970
// want it. It is in public files only.
const ColumnTimeDT = "time_dt"

// maxDepth is how deep structs go into each other; objects below are JSON text,
// as objects may hold each other without end.
const maxDepth = 3

// A nodeKind is what an attribute is in a column.
type nodeKind int

const (
	nodeText   nodeKind = iota // UTF8
	nodeJSON                   // UTF8: free-form, or below maxDepth
	nodeInt                    // INT32: integer_t
	nodeLong                   // INT64: long_t, and times
	nodeFloat                  // DOUBLE
	nodeBool                   // BOOLEAN
	nodeStruct                 // with the attributes of an object that occur
)

// A node is an attribute, and of an object those that occur in a file.
type node struct {
	name   string
	list   bool
	kind   nodeKind
	object string // of nodeStruct; the class for the root
	depth  int    // of the root 0

	children []*node  // by name
	members  []member // by name: what occurred, be there a child for it or not
}

// attributeTypes are the attributes of classes ("class:6003") and objects in
// any version of OCSF. None changed its type from one to another.
var attributeTypes = sync.OnceValue(func() map[string]map[string]*catalog.Attribute {
	all := make(map[string]map[string]*catalog.Attribute)
	add := func(owner string, attributes map[string]*catalog.Attribute) {
		if all[owner] == nil {
			all[owner] = make(map[string]*catalog.Attribute)
		}
		maps.Copy(all[owner], attributes) // the newest last
	}
	for _, version := range catalog.Versions() {
		s, err := catalog.Load(version)
		if err != nil {
			continue // one of the versions that Versions names
		}
		for _, c := range s.Classes {
			add(classOwner(int32(c.UID)), c.Attributes)
		}
		for name, o := range s.Objects {
			add(name, o.Attributes)
		}
	}
	return all
})

func classOwner(uid int32) string { return fmt.Sprintf("class:%d", uid) }

// primitive returns the primitive type that a type narrows.
var primitives = sync.OnceValue(func() map[string]string {
	all := make(map[string]string)
	for _, version := range catalog.Versions() {
		s, err := catalog.Load(version)
		if err != nil {
			continue // as above
		}
		for name, t := range s.Types {
			for t.Super != "" && s.Types[t.Super] != nil {
				t = s.Types[t.Super]
			}
			all[name] = t.Name
		}
	}
	return all
})

// newRoot returns the node of a class of which nothing has occurred.
func newRoot(class int32) *node {
	return &node{kind: nodeStruct, object: classOwner(class)}
}

// attribute returns a node for the attribute name of n's object; nil when the
// catalog has none, or when another column has its name.
func (n *node) attribute(name string) *node {
	if n.depth == 0 && (columnNames[name] || name == ColumnTimeDT) {
		return nil
	}
	a := attributeTypes()[n.object][name]
	if a == nil {
		return nil
	}
	c := &node{name: name, list: a.IsArray, depth: n.depth + 1}
	switch {
	case a.ObjectType != "":
		// An object without attributes, such as that of unmapped, is free-form.
		if c.kind = nodeJSON; c.depth <= maxDepth && len(attributeTypes()[a.ObjectType]) > 0 {
			c.kind, c.object = nodeStruct, a.ObjectType
		}
	default:
		c.kind = map[string]nodeKind{
			"boolean_t": nodeBool, "integer_t": nodeInt, "long_t": nodeLong, "float_t": nodeFloat, "json_t": nodeJSON,
		}[primitives()[a.Type]] // else text
	}
	return c
}

// columnNames are those of every segment.
var columnNames = func() map[string]bool {
	names := make(map[string]bool)
	for _, f := range schema.Fields() {
		names[f.Name] = true
	}
	return names
}()

// child returns the child of a name, and where it is or would be.
func (n *node) child(name string) (*node, int) {
	i, found := slices.BinarySearchFunc(n.children, name, func(c *node, name string) int { return strings.Compare(c.name, name) })
	if !found {
		return nil, i
	}
	return n.children[i], i
}

// prune removes structs in which nothing occurs, as Parquet has none, and
// reports whether n itself is one.
func (n *node) prune() (empty bool) {
	n.children = slices.DeleteFunc(n.children, (*node).prune)
	return n.kind == nodeStruct && len(n.children) == 0
}

// dataType returns the column's type.
func (n *node) dataType() arrow.DataType {
	var t arrow.DataType
	switch n.kind {
	case nodeInt:
		t = arrow.PrimitiveTypes.Int32
	case nodeLong:
		t = arrow.PrimitiveTypes.Int64
	case nodeFloat:
		t = arrow.PrimitiveTypes.Float64
	case nodeBool:
		t = arrow.FixedWidthTypes.Boolean
	case nodeStruct:
		t = arrow.StructOf(n.fields()...)
	default:
		t = arrow.BinaryTypes.String
	}
	if n.list {
		return arrow.ListOf(t)
	}
	return t
}

func (n *node) fields() []arrow.Field {
	fields := make([]arrow.Field, len(n.children))
	for i, c := range n.children {
		fields[i] = arrow.Field{Name: c.name, Type: c.dataType(), Nullable: true}
	}
	return fields
}

var timeDT = arrow.Field{Name: ColumnTimeDT, Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}}

// publicSchema is that of a public file in which the attributes of root occur.
func publicSchema(root *node) *arrow.Schema {
	return arrow.NewSchema(slices.Concat(schema.Fields(), []arrow.Field{timeDT}, root.fields()), nil)
}

// rootOf returns the node of a class in which those attributes occur of which
// there are fields. It fails when a field is of no attribute, or of another type.
func rootOf(class int32, fields []arrow.Field) (*node, error) {
	root := newRoot(class)
	return root, root.adopt(fields)
}

func (n *node) adopt(fields []arrow.Field) error {
	for i, f := range fields {
		c := n.attribute(f.Name)
		if c == nil || i > 0 && fields[i-1].Name >= f.Name {
			return fmt.Errorf("column %s is of no attribute, or not in its place", f.Name)
		}
		t := f.Type
		if list, ok := t.(*arrow.ListType); ok {
			t = list.Elem()
		}
		if s, ok := t.(*arrow.StructType); ok && c.kind == nodeStruct {
			if err := c.adopt(s.Fields()); err != nil {
				return fmt.Errorf("column %s: %w", f.Name, err)
			}
		}
		if !arrow.TypeEqual(f.Type, c.dataType()) || !f.Nullable || c.prune() {
			return fmt.Errorf("column %s is %v instead of %v", f.Name, f.Type, c.dataType())
		}
		n.children = append(n.children, c)
	}
	return nil
}
