// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"fmt"
	"reflect"
	"strings"
)

// Edit makes an event that was read one to be changed and written again: it is
// no longer [Base.Verbatim], and what only says what other attributes say
// anyway is cleared, so that it is derived anew and cannot contradict the
// change. Captions in a source's own words stay, and so does one that the schema
// itself has changed since (rcode 16 of OCSF 1.9). Call it before the change:
//
//	e, err := ocsf.Decode(b)
//	ocsf.Edit(e)
//	e.Common().SeverityID = ocsf.SeverityHigh
//	e.Common().Metadata.Version = "1.9.0"
//	b, err = ocsf.Encode(e)
//
// Zeros and nulls that [Extra] keeps stay there. Edit uses reflection; it is not
// for hot paths.
func Edit(e Event) {
	b := e.Common()
	b.Verbatim = false
	class := e.Class()
	caption := reflect.ValueOf(e).Elem().FieldByName("ActivityID").Interface()
	clearIf(&b.ClassName, class.String())
	clearIf(&b.CategoryName, b.CategoryUID.String())
	clearIf(&b.TypeName, fmt.Sprintf("%v: %v", class, caption))
	edit(reflect.ValueOf(e))
}

func clearIf(s *string, derived string) {
	if *s == derived {
		*s = ""
	}
}

// edit clears the captions in v and in all that it holds.
func edit(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			edit(v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				edit(v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := siblings[v.Type().Field(i).Name]; name != "" {
				editCaption(v, v.Field(i), name)
			}
			edit(v.Field(i))
		}
	default:
	}
}

// editCaption clears the caption of value, a field of v, if it is the schema's.
func editCaption(v, value reflect.Value, name string) {
	caption := v.FieldByName(name)
	switch {
	case !caption.IsValid():
	case caption.Kind() == reflect.String && value.CanInt():
		text := caption.String()
		if value.Int() == other || text != fmt.Sprint(value.Interface()) {
			return // the source's own word
		}
		caption.SetString("")
		if value.Int() == 0 {
			// A zero may be one that Extra keeps, and then its caption goes there too:
			// both give way to a value that the field gets.
			field, _ := v.Type().FieldByName(name)
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if x, ok := v.FieldByName("Extra").Addr().Interface().(*Extra); ok {
				*x = append(*x, Member{Name: key, Value: Raw(`"` + text + `"`)})
			}
		}
	case value.Kind() == reflect.Slice && caption.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Int64:
		editCaptions(value, caption)
	}
}

func editCaptions(values, captions reflect.Value) {
	if values.Len() != captions.Len() {
		return
	}
	for i := range values.Len() {
		if values.Index(i).Int() == other || captions.Index(i).String() != fmt.Sprint(values.Index(i).Interface()) {
			return
		}
	}
	captions.SetZero()
}
