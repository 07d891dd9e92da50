// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"fmt"
	"reflect"
)

// Edit makes an event that was read one to be changed and written again: it is
// no longer [Base.Verbatim], and what only says what other attributes say
// anyway is cleared, so that it is derived anew and cannot contradict the
// change. Captions in a source's own words stay. Call it before the change:
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
				editCaption(v.Field(i), v.FieldByName(name))
			}
			edit(v.Field(i))
		}
	default:
	}
}

// editCaption clears the caption of value if it is the schema's.
func editCaption(value, caption reflect.Value) {
	if !caption.IsValid() {
		return
	}
	if caption.Kind() == reflect.String {
		if value.CanInt() && value.Int() == other {
			return // the source's own word, whatever it is
		}
		if caption.String() == fmt.Sprint(value.Interface()) {
			caption.SetString("")
		}
		return
	}
	if value.Kind() != reflect.Slice || !value.Type().Elem().ConvertibleTo(reflect.TypeFor[int64]()) || caption.Kind() != reflect.Slice || caption.Len() != value.Len() {
		return
	}
	for i := range value.Len() {
		if value.Index(i).Int() == other || caption.Index(i).String() != fmt.Sprint(value.Index(i).Interface()) {
			return
		}
	}
	caption.SetZero()
}
