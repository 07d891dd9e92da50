// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"strings"
)

func (c *catalogReader) enumTable() error {
	c.enums = make(map[string][]EnumValue, len(c.file.enums))
	for _, r := range c.file.enums {
		row := r.row
		if len(row.Values)%2 != 0 {
			return invalid("enums."+r.key, "the last value has no caption")
		}
		values := make([]EnumValue, len(row.Values)/2)
		for i := range values {
			values[i] = EnumValue{Value: row.Values[2*i], Caption: row.Values[2*i+1]}
			if since, ok := row.Deprecated[values[i].Value]; ok {
				values[i].Deprecated = &Deprecation{Since: since}
			}
		}
		c.enums[r.key] = values
	}
	return nil
}

func (c *catalogReader) attributeTable() error {
	objects := make(map[string]bool, len(c.file.objects))
	for _, r := range c.file.objects {
		objects[r.key] = true
	}
	c.attributes = make(map[string]*Attribute, len(c.file.attributes))
	profiles := make(map[string][]string)
	attributes := make([]Attribute, len(c.file.attributes))
	for i, r := range c.file.attributes {
		a := &attributes[i]
		a.Name, _, _ = strings.Cut(r.key, ":")
		err := cmp.Or(checkWord("", a.Name), c.attribute(a, r.row, profiles))
		if err == nil {
			err = c.schema.checkAttribute(a, func(name string) bool { return objects[name] })
		}
		if err != nil {
			return within("attributes."+r.key, err)
		}
		c.attributes[r.key] = a
	}
	return nil
}

// attribute reads a row into a. profiles holds the lists that were met before.
func (c *catalogReader) attribute(a *Attribute, row string, profiles map[string][]string) error {
	words, caption, ok := strings.Cut(row, captionMark)
	if !ok {
		return invalid("", "it has no caption")
	}
	a.Caption, a.Requirement = caption, Optional
	kind, words, _ := strings.Cut(words, " ")
	a.Type, a.IsArray = strings.CutPrefix(kind, arrayPrefix)
	if object, ok := strings.CutPrefix(a.Type, objectPrefix); ok {
		a.Type, a.ObjectType = objectType, object
	}
	for words != "" {
		var word string
		word, words, _ = strings.Cut(words, " ")
		switch name, value, _ := strings.Cut(word, "="); name {
		case string(Required), string(Recommended):
			a.Requirement = Requirement(name)
		case "profiles":
			if profiles[value] == nil {
				profiles[value] = strings.Split(value, ",")
				if err := checkWords(profiles[value]); err != nil {
					return err
				}
			}
			a.Profiles = profiles[value]
		case "sibling":
			a.Sibling = value
		case "enum":
			if value == derivedEnum {
				c.derived[a] = true
			} else if a.Enum, ok = c.enums[value]; !ok {
				return invalid("", "there is no enum %q", value)
			}
		case "deprecated":
			a.Deprecated = &Deprecation{Since: value}
		default:
			return invalid("", "%q means nothing", word)
		}
	}
	return nil
}

func checkWords(words []string) error {
	for _, word := range words {
		if err := checkWord("", word); err != nil {
			return err
		}
	}
	return nil
}

func fields(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, " ")
}

func (c *catalogReader) objectTable() error {
	c.schema.Objects = make(map[string]*Object, len(c.file.objects))
	for _, r := range c.file.objects {
		if r.row.Like != "" {
			return invalid("objects."+r.key+".like", "only classes have models")
		}
		it, err := c.item(r.key, &r.row, "")
		if err == nil {
			err = c.put(it.Attributes, r.row.Attributes)
		}
		if err != nil {
			return within("objects."+r.key, err)
		}
		c.schema.Objects[r.key] = &Object{Item: it}
	}
	return nil
}

func (c *catalogReader) classTable() error {
	models := make(map[string]string)
	for _, r := range c.file.classes {
		if r.row.Like == "" {
			models[r.key] = r.row.Attributes
		}
	}
	c.schema.Classes = make(map[string]*Class, len(c.file.classes))
	for _, r := range c.file.classes {
		class := &Class{UID: r.row.UID, Category: r.row.Category, CategoryUID: r.row.CategoryUID}
		if err := c.class(class, r.key, &r.row.catalogItem, models); err != nil {
			return within("classes."+r.key, err)
		}
		c.schema.Classes[r.key] = class
	}
	return nil
}

// class reads the attributes of a class: first those of its model, which has no
// model itself, then what is different.
func (c *catalogReader) class(class *Class, name string, row *catalogItem, models map[string]string) error {
	model, ok := models[row.Like]
	if row.Like != "" && !ok {
		return invalid("like", "%q cannot be a model", row.Like)
	}
	var err error
	if class.Item, err = c.item(name, row, model); err != nil {
		return err
	}
	if err := c.put(class.Attributes, model); err != nil {
		return err
	}
	if err := c.put(class.Attributes, row.Attributes); err != nil {
		return err
	}
	c.derive(class)
	return nil
}

// item reads all of a row but its attributes, for which, and for those of its
// model, it makes room.
func (c *catalogReader) item(name string, row *catalogItem, model string) (Item, error) {
	n := strings.Count(model, " ") + strings.Count(row.Attributes, " ") + 2
	it := Item{
		Name: name, Caption: row.Caption, Extends: row.Extends, Extension: row.Extension,
		Profiles: fields(row.Profiles), Constraints: row.Constraints,
		Attributes: make(map[string]*Attribute, n),
	}
	if len(row.Constraints) == 0 {
		it.Constraints = nil
	}
	if row.Deprecated != nil {
		it.Deprecated = &Deprecation{Since: *row.Deprecated}
	}
	return it, checkWords(append([]string{name}, it.Profiles...))
}

func (c *catalogReader) put(attributes map[string]*Attribute, keys string) error {
	for keys != "" {
		var key string
		key, keys, _ = strings.Cut(keys, " ")
		if name, gone := strings.CutPrefix(key, "-"); gone {
			delete(attributes, name)
			continue
		}
		a := c.attributes[key]
		if a == nil {
			return invalid("attributes", "there is no attribute %q", key)
		}
		attributes[a.Name] = a
	}
	return nil
}

// derive gives a class its own copies of those attributes whose enum follows
// from the class.
func (c *catalogReader) derive(class *Class) {
	for _, name := range derivable {
		if a := class.Attributes[name]; c.derived[a] {
			own := *a
			own.Enum = c.schema.classEnum(class, name)
			class.Attributes[name] = &own
		}
	}
}
