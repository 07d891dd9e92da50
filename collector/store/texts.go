// SPDX-License-Identifier: Apache-2.0

package store

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/docket-audit/docket/internal/profile"
)

// textColumns maps the names of the text columns of a header to their fields.
var textColumns = sync.OnceValue(func() map[string][]int {
	m := make(map[string][]int)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		if f.Type.Kind() == reflect.String {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			m[name] = f.Index
		}
	}
	return m
})

// IsText reports whether a column is one that a [Query]'s Texts may name.
func IsText(column string) bool { return textColumns()[column] != nil }

// Holds reports whether h has what q.Texts asks for. No entry has anything in a
// column that there is not.
func (q *Query) Holds(h *profile.Header) bool {
	for column, values := range q.Texts {
		index := textColumns()[column]
		if index == nil || !slices.Contains(values, reflect.ValueOf(h).Elem().FieldByIndex(index).String()) {
			return false
		}
	}
	return true
}
