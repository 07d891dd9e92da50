// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// FuzzObject holds what is written against what protojson makes of the same
// text.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":{}}`, `{"":[]}`, `{"a":null,"b":true,"c":false,"d":"x","e":[1,[2,{"f":-0.5e-300}],"y",null]}`, `[]`, `{"a":1e999}`,
		`{"\u20ac\"\\\n":"\ud83d\ude00 \u0000"}`, `{"a":"` + strings.Repeat("x", 200) + `","b":[` + strings.Repeat(`"yy",`, 100) + `0]}`,
		strings.Repeat(`{"a":`, 30) + `1` + strings.Repeat(`}`, 30), `{"a":tru}`, `{"a":nan}`, `{"a" :1}`, `{"a":1}x`, `{"a":"\`, `{"a":0x1p4}`, `{"a":Infinity}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		given, givenErr := objectOf(bytes.Clone(raw)) // must not panic, whatever it is
		if givenErr == nil {
			_ = encoded(t, given)
		}
		canonical := jsontext.Value(bytes.Clone(raw))
		if canonical.Canonicalize() != nil {
			return
		}
		want := &structpb.Struct{}
		wantErr := protojson.Unmarshal(canonical, want)
		s, err := objectOf(canonical)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v; protojson: %v", canonical, err, wantErr)
		}
		if err != nil {
			return
		}
		got := &structpb.Struct{}
		if err := proto.Unmarshal(encoded(t, s), got); err != nil {
			t.Fatalf("%s: what is written does not decode: %v", canonical, err)
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s became %v", canonical, got)
		}
	})
}

func encoded(t *testing.T, s *structpb.Struct) []byte {
	t.Helper()
	raw, err := proto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestObjectsAreNotTooDeep(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat(`{"a":`, n) + `{}` + strings.Repeat(`}`, n)) }
	s, err := objectOf(deep(maxNesting - 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(encoded(t, s), &structpb.Struct{}); err != nil {
		t.Errorf("the deepest object does not decode: %v", err)
	}
	if _, err := objectOf(deep(maxNesting)); err == nil || !strings.Contains(err.Error(), "3000") {
		t.Errorf("a deeper object: %v", err)
	}
}
