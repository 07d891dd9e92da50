// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// TestDecodeOutlivesWhatPanics: an entry of a map that has its key twice, the
// second time as a number, makes the library panic. No caller can end the gateway
// by it: it is not a message of its type, as anything that does not decode.
func TestDecodeOutlivesWhatPanics(t *testing.T) {
	kind := (&sandboxv1.Sandbox{}).ProtoReflect().Descriptor()
	number := kind.Fields().ByName("labels").Number()
	raw := []byte{byte(number<<3 | 2), 5, 1<<3 | 2, 1, 'a', 1 << 3, 0}
	panics := func() (panicked bool) {
		defer func() { panicked = recover() != nil }()
		_ = proto.Unmarshal(raw, dynamicpb.NewMessage(kind))
		return false
	}
	if !panics() {
		t.Log("the library no longer panics")
	}
	m := &method{types: types{upstream: dynamicpb.NewTypes(nil)}}
	if msg, err := m.decode(kind, raw); err == nil && panics() {
		t.Errorf("decoded %v", msg)
	}
	if _, err := m.decode(kind, raw[:len(raw)-1]); err == nil {
		t.Error("half a message was decoded")
	}
}
