// SPDX-License-Identifier: Apache-2.0

package schema

import "strconv"

// ClassByUID returns the class that has a uid, nil if there is none. It looks
// at one class after the other.
func (s *Schema) ClassByUID(uid int) *Class {
	for _, c := range s.Classes {
		if c.UID == uid {
			return c
		}
	}
	return nil
}

// derivable names the attributes of a class of which [Schema.classEnum] knows
// the enum. The compiler sets it, whatever the source says.
var derivable = [...]string{"category_uid", "class_uid", "type_uid"}

// classEnum returns the enum that follows from a class for one of its derivable
// attributes; nil for others.
func (s *Schema) classEnum(c *Class, attribute string) []EnumValue {
	switch attribute {
	case "category_uid":
		caption := ""
		if category := s.Categories[c.Category]; category != nil {
			caption = category.Caption
		}
		return []EnumValue{{Value: strconv.Itoa(c.CategoryUID), Caption: caption}}
	case "class_uid":
		return []EnumValue{{Value: strconv.Itoa(c.UID), Caption: c.Caption}}
	case "type_uid":
		return typeEnum(c)
	default:
		return nil
	}
}

// typeEnum has a value for each activity of a class, and for an unknown one.
func typeEnum(c *Class) []EnumValue {
	activity := c.Attributes["activity_id"]
	if activity == nil {
		return nil
	}
	unknown := EnumValue{Value: typeUID(c, 0), Caption: c.Caption + ": Unknown"}
	values := []EnumValue{unknown}
	for _, v := range activity.Enum {
		id, err := strconv.Atoi(v.Value)
		if err != nil {
			return nil
		}
		if id != 0 {
			values = append(values, EnumValue{Value: typeUID(c, id), Caption: c.Caption + ": " + v.Caption})
		}
	}
	sortEnum(values)
	return values
}

func typeUID(c *Class, activity int) string { return strconv.Itoa(c.UID*100 + activity) }
