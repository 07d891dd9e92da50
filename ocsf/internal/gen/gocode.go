// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (u *union) writeEnums(c *code) {
	taken := map[string]bool{}
	for _, k := range slices.Concat(u.classes, u.objects) {
		taken[k.goName] = true
	}
	for _, e := range u.enums {
		taken[e.goName] = true
	}
	c.line("// A ClassUID is the number of a class.\ntype ClassUID int64\n")
	c.line("// The classes.\nconst (")
	for _, k := range u.classes {
		c.line("Class%s ClassUID = %d", k.goName, k.uid)
	}
	c.line(")\n")
	c.line("// String returns the class's caption, or the digits of a class that is none.\nfunc (c ClassUID) String() string { return captionsClassUID.latest(int64(c)) }\n")
	c.line("var captionsClassUID = captions{")
	for _, k := range u.classes {
		c.line("{%d, %q, %d},", k.uid, k.caption, k.in)
	}
	c.line("}\n")
	u.writeCategories(c)
	u.writeSiblings(c)
	c.line("// What the classes derive.\nvar (")
	for _, k := range u.classes {
		c.line("class%s = class{uid: Class%s, category: %d, caption: %q, categoryCaption: %q, in: %d, activities: captions%s, statuses: captions%s}",
			k.goName, k.goName, k.category, k.caption, k.categoryCaption, k.in, k.activities.goName, k.statuses.goName)
	}
	c.line(")\n")
	for _, e := range u.enums {
		u.writeEnum(c, e, taken)
	}
}

// writeSiblings writes which attribute holds the caption of which.
func (u *union) writeSiblings(c *code) {
	siblings := map[string]string{}
	for _, k := range slices.Concat(u.classes, u.objects, []*container{u.base}) {
		for _, a := range k.attrs {
			if a.sibling != "" && a.enum != nil {
				siblings[a.field] = camel(a.sibling)
			}
		}
	}
	c.line("// siblings maps the Go field of an enum value to that of its caption.\nvar siblings = map[string]string{")
	for _, field := range slices.Sorted(maps.Keys(siblings)) {
		c.line("%q: %q,", field, siblings[field])
	}
	c.line("}\n")
}

func (u *union) writeCategories(c *code) {
	type category struct {
		uid     int
		caption string
	}
	var all []category
	for _, k := range u.classes {
		if cat := (category{k.category, k.categoryCaption}); !slices.Contains(all, cat) {
			all = append(all, cat)
		}
	}
	slices.SortFunc(all, func(a, b category) int { return a.uid - b.uid })
	c.line("// A CategoryUID is the number of a category of classes.\ntype CategoryUID int64\n")
	c.line("// The categories.\nconst (")
	for _, k := range all {
		c.line("Category%s CategoryUID = %d", caption(k.caption), k.uid)
	}
	c.line(")\n")
	c.line("// String returns the category's caption, or the digits of one that is none.\nfunc (c CategoryUID) String() string { return captionsCategoryUID.latest(int64(c)) }\n")
	c.line("var captionsCategoryUID = captions{")
	for _, k := range all {
		c.line("{%d, %q, %d},", k.uid, k.caption, u.all)
	}
	c.line("}\n")
}

func (u *union) writeEnum(c *code, e *enum, taken map[string]bool) {
	users := slices.Compact(slices.Clone(e.users))
	const few = 4
	if len(users) > few {
		c.line("// %s holds the values of %s in many classes and objects.", e.goName, users[0][strings.IndexByte(users[0], '.')+1:])
	} else {
		c.line("// %s holds the values of %s.", e.goName, strings.Join(users, ", "))
	}
	under := "int64"
	if e.text {
		under = "string"
	}
	c.line("type %s %s\n", e.goName, under)
	c.line("// The values of [%s].\nconst (", e.goName)
	for _, k := range e.constants(taken) {
		v := k.value.value
		if e.text {
			v = fmt.Sprintf("%q", v)
		}
		note := ""
		if k.in != u.all {
			note = " // OCSF " + u.spell(k.in)
		}
		c.line("%s %s = %s%s", k.name, e.goName, v, note)
	}
	c.line(")\n")
	if e.text {
		return
	}
	c.line("// String returns the value's caption, or the digits of a value that has none.")
	c.line("func (v %s) String() string { return captions%s.latest(int64(v)) }\n", e.goName, e.goName)
	c.line("var captions%s = captions{", e.goName)
	for _, v := range e.values {
		c.line("{%s, %q, %d},", v.value, v.caption, v.in)
	}
	c.line("}\n")
}

func (u *union) writeEncode(c *code) {
	// Where members of a class stand among those of Base, by the index of the
	// member of Base that follows.
	place := func(a *attr) int {
		at, _ := slices.BinarySearchFunc(u.base.attrs, a.name, func(b *attr, n string) int { return strings.Compare(b.name, n) })
		return at
	}
	places := map[int]bool{0: true}
	for _, k := range u.classes {
		for _, a := range k.attrs {
			places[place(a)] = true
		}
	}
	c.line("// members writes the members from one index on and below another. The indexes")
	c.line("// are those that some class has members at.")
	c.line("func (b *Base) members(e *encoder, from, to int) {\nswitch from {")
	for i, a := range u.base.attrs {
		if places[i] {
			if i > 0 {
				c.line("if to == %d { return }\nfallthrough", i)
			}
			c.line("case %d:", i)
		}
		u.write(c, u.base, a, "b")
	}
	c.line("}\n}\n")
	for _, k := range u.classes {
		c.line("func (o *%s) encode(e *encoder, k string) {", k.goName)
		c.line("if !e.open(k, &o.Extra) { return }")
		c.line("e.derive(&class%s, int64(o.ActivityID), int64(o.StatusID))", k.goName)
		c.line("b := &o.Base")
		done := 0
		for _, a := range k.attrs {
			if at := place(a); at > done {
				c.line("b.members(e, %d, %d)", done, at)
				done = at
			}
			u.write(c, k, a, "o")
		}
		c.line("b.members(e, %d, %d)\ne.close()\n}\n", done, len(u.base.attrs))
	}
	for _, k := range u.objects {
		c.line("func (o *%s) encode(e *encoder, k string) {\nif !e.open(k, &o.Extra) { return }", k.goName)
		for _, a := range k.attrs {
			u.write(c, k, a, "o")
		}
		c.line("e.close()\n}\n")
	}
}

// condition is when a member is written; "" is always, or as its method decides.
func (u *union) condition(k *container, a *attr, recv string) string {
	f := recv + "." + a.field
	switch {
	case a.name == "metadata" && k == u.base:
		return ""
	case a.array && a.siblingOf != nil:
		return fmt.Sprintf("%s != nil || %s.%s != nil", f, recv, a.siblingOf.field)
	case a.array, a.base == "object_t", a.base == "json_t", k.pointer(a):
		return f + " != nil"
	case a.base == "string_t":
		if s := a.siblingOf; s != nil {
			return fmt.Sprintf("%s != \"\" || %s.%s != 0%s", f, recv, s.field, alwaysToo(s))
		}
		return f + ` != ""`
	case a.base == "boolean_t":
		return f + " || " + alwaysCall(a)
	}
	return f + " != 0" + alwaysToo(a)
}

func alwaysCall(a *attr) string { return fmt.Sprintf("e.always(%d)", a.required) }

func alwaysToo(a *attr) string {
	if a.required == 0 {
		return ""
	}
	return " || " + alwaysCall(a)
}

// write writes the statement that writes one member.
func (u *union) write(c *code, k *container, a *attr, recv string) {
	f, key := recv+"."+a.field, a.key()
	cond := u.condition(k, a, recv)
	if k == u.base && a.derived() || k.name == "metadata" && a.name == "version" {
		cond = ""
	}
	if a.in != k.in {
		in := fmt.Sprintf("e.in(%d, %q)", a.in, a.name)
		if cond != "" {
			in = "(" + cond + ") && " + in
		}
		cond = in
	}
	call := u.call(k, a, f, key, recv)
	if cond != "" {
		c.line("if %s { %s }", cond, call)
	} else {
		c.line("%s", call)
	}
}

func (u *union) call(k *container, a *attr, f, key, recv string) string {
	if k == u.base && a.derived() {
		switch a.name {
		case "class_uid":
			return fmt.Sprintf("e.uid(%s, int64(%s), e.derived.class)", key, f)
		case "category_uid":
			return fmt.Sprintf("e.uid(%s, int64(%s), e.derived.category)", key, f)
		case "type_uid":
			return fmt.Sprintf("e.uid(%s, int64(%s), e.derived.class*100+e.derived.activity)", key, f)
		case "type_name":
			return fmt.Sprintf("e.typed(%s, %s)", key, f)
		}
		return fmt.Sprintf("e.name(%s, %s, e.derived.%s)", key, f, map[string]string{"class_name": "className", "category_name": "categoryName", "activity_name": "activityName", "status": "statusName"}[a.name])
	}
	if k.name == "metadata" && a.name == "version" {
		return fmt.Sprintf("e.name(%s, %s, e.version.String())", key, f)
	}
	if s := a.siblingOf; s != nil && s.enum != nil {
		if a.array {
			return fmt.Sprintf("encodeCaptions(e, %s, %s, %s.%s, &captions%s)", key, f, recv, s.field, s.enum.goName)
		}
		return fmt.Sprintf("e.caption(%s, %s, int64(%s.%s), &captions%s, e.always(%d))", key, f, recv, s.field, s.enum.goName, s.required)
	}
	if a.array {
		return fmt.Sprintf("%s(e, %s, %s)", map[string]string{
			"string_t": "encodeTexts", "integer_t": "encodeInts", "long_t": "encodeInts", "float_t": "encodeFloats", "object_t": "encodeList",
		}[a.base], key, f)
	}
	if k.pointer(a) {
		f = "*" + f
	}
	switch a.base {
	case "boolean_t":
		return fmt.Sprintf("e.bool(%s, %s)", key, f)
	case "float_t":
		return fmt.Sprintf("e.float(%s, %s)", key, f)
	case "integer_t", "long_t":
		return fmt.Sprintf("e.int(%s, %s)", key, convert("int64", a, f))
	case "json_t":
		return fmt.Sprintf("e.json(%s, %s)", key, f)
	case "object_t":
		if a.object == "object" {
			return fmt.Sprintf("e.json(%s, %s)", key, f)
		}
		if k == u.base && a.name == "metadata" {
			return fmt.Sprintf("encodeInPlace(e, %s, &%s)", key, f)
		}
		return fmt.Sprintf("%s.encode(e, %s)", f, key)
	}
	return fmt.Sprintf("e.str(%s, %s)", key, convert("string", a, f))
}

// key returns the name of the constant with what the attribute's member begins with.
func (a *attr) key() string {
	if a.base == "string_t" && !a.array {
		return "text" + a.field
	}
	return "key" + a.field
}

// sizeOfKey is how long keys are in package ocsf, which tells of their form.
const sizeOfKey = 40

// text returns what the attribute's member begins with.
func (a *attr) text() string {
	if a.base == "string_t" && !a.array {
		return `"` + a.name + `":"`
	}
	return `"` + a.name + `":`
}

// writeKeys writes those constants.
func (u *union) writeKeys(c *code) {
	keys := map[string]string{}
	for _, k := range slices.Concat(u.classes, u.objects, []*container{u.base}) {
		for _, a := range k.attrs {
			keys[a.key()] = fmt.Sprintf("%-*s%c", sizeOfKey-1, a.text(), len(a.text()))
		}
	}
	c.line("// What members begin with: names, and where a text follows its opening quote.")
	c.line("// See sizeOfKey.\nconst (")
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		c.line("%s = %q", name, keys[name])
	}
	c.line(")")
}

func convert(to string, a *attr, f string) string {
	if a.enum == nil && !derivedEnums[a.name] {
		return f
	}
	return to + "(" + f + ")"
}

func (u *union) writeDecode(c *code) {
	c.line("// decodeMember reads one member, if it is one of Base.\nfunc (b *Base) decodeMember(d *decoder, m *members) bool {\nswitch d.name {")
	for i, a := range u.base.attrs {
		c.line("case %q: %s", a.name, u.read(u.base, a, "b", i))
	}
	c.line("default: return false\n}\nreturn true\n}\n")
	for _, k := range slices.Concat(u.classes, u.objects) {
		first := 0
		if k.isClass {
			first = len(u.base.attrs)
		}
		c.line("func (o *%s) decode(d *decoder) {\nvar m members\nd.open()\nfor d.next(&m) {\nswitch d.name {", k.goName)
		for i, a := range k.attrs {
			c.line("case %q: %s", a.name, u.read(k, a, "o", first+i))
		}
		if k.isClass {
			c.line("default: if !o.Base.decodeMember(d, &m) { d.unknown(&m) }")
		} else {
			c.line("default: d.unknown(&m)")
		}
		c.line("}\n}\no.Extra = m.extra\n}\n")
	}
}

func (u *union) read(k *container, a *attr, recv string, i int) string {
	p := "&" + recv + "." + a.field
	m := fmt.Sprintf("m, %d, ", i)
	if recv == "o" {
		m = "&" + m
	}
	if a.array {
		return fmt.Sprintf("%s(d, %s%s)", map[string]string{
			"string_t": "decodeTexts", "integer_t": "decodeInts", "long_t": "decodeInts", "float_t": "decodeFloats", "object_t": "decodeList",
		}[a.base], m, p)
	}
	suffix := ""
	if k.pointer(a) {
		suffix = "p"
	}
	switch a.base {
	case "boolean_t":
		return fmt.Sprintf("d.bool%s(%s%s)", suffix, m, p)
	case "float_t":
		return fmt.Sprintf("d.floatp(%s%s)", m, p)
	case "integer_t", "long_t":
		if suffix == "" {
			p = convert("(*int64)", a, p)
		}
		return fmt.Sprintf("d.int%s(%s%s)", suffix, m, p)
	case "json_t":
		return fmt.Sprintf("d.json(%s%s)", m, p)
	case "object_t":
		switch {
		case a.object == "object":
			return fmt.Sprintf("d.free(%s%s)", m, p)
		case k == u.base && a.name == "metadata":
			return fmt.Sprintf("decodeInPlace(d, %s%s)", m, p)
		}
		return fmt.Sprintf("decodeObject(d, %s%s)", m, p)
	}
	return fmt.Sprintf("d.str(%s%s)", m, convert("(*string)", a, p))
}
