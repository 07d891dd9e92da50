// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// member returns a member of an object as it is written; nil when there is none.
func member(object []byte, name string) []byte {
	d := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil
	}
	for {
		t, err := d.ReadToken()
		if err != nil || t.Kind() != '"' {
			return nil
		}
		found := t.String() == name
		v, err := d.ReadValue()
		if err != nil {
			return nil
		}
		if found {
			return bytes.Clone(v)
		}
	}
}

// number returns the whole number that a member of an object is.
func number(object []byte, name string) (int64, bool) {
	n, err := strconv.ParseInt(string(member(object, name)), 10, 64)
	return n, err == nil
}
