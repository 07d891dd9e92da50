// SPDX-License-Identifier: Apache-2.0

package jsonstruct

import (
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// TestStruct: a Struct is, to package proto, the message that its JSON is of, which is
// made once, and not before somebody asks.
func TestStruct(t *testing.T) {
	const raw = `{"a":[1,2.5,null,true],"b":{"c":"x"}}`
	want, err := structpb.NewStruct(map[string]any{"a": []any{1, 2.5, nil, true}, "b": map[string]any{"c": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	s := New([]byte(raw))
	if string(s.JSON()) != raw || s.Descriptor() != want.ProtoReflect().Descriptor() || s.made != nil {
		t.Errorf("%s, a %s, made %v", s.JSON(), s.Descriptor().FullName(), s.made)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if !proto.Equal(s, want) || !proto.Equal(proto.Clone(s), want) {
				t.Errorf("%v, want %v", s.made, want)
			}
		})
	}
	wg.Wait()
	if m, ok := s.ProtoReflect().Interface().(*structpb.Struct); !ok || m != s.made {
		t.Errorf("%T, which is another than was made", s.ProtoReflect().Interface())
	}
}
