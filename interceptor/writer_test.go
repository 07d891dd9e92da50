// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// written is what a writer makes of a message, and whether it could.
func written(m proto.Message, walk secretwalk.Walk) (string, bool) {
	w := writer{walk: walk}
	ok := w.message(m.ProtoReflect(), 0)
	return string(w.out), ok
}

// Whatever a writer writes is what the long way writes; what is common, it writes.
func TestWriter(t *testing.T) {
	s := schemaOf(t)
	for json, common := range map[string]bool{
		`{}`: true,
		`{"fDouble":5,"fFloat":-7,"fInt64":"-9223372036854775808","fUint64":"18446744073709551615","fInt32":-1,"fBool":true,"fBytes":"AAH/","fEnum":1}`: true,
		`{"fString":"a\"\\\u0001\u001f\n/<>&\u2028\ud83d\ude00\u007f"}`:                                                                                 true,
		`{"fDouble":1e14,"fFloat":-0.0,"optInt":0,"optText":""}`:                                                                                        true,
		`{"fDouble":0.5}`:            false, // needs the digits of RFC 8785
		`{"fDouble":1e15}`:           false,
		`{"fFloat":774884040900608}`: false, `{"fFloat":16777215}`: true,
		`{"fDouble":"NaN"}`: false, `{"fFloat":"-Infinity"}`: false,
		`{"pickNull":null}`: true, `{"pickText":""}`: true, `{"pickLeaf":{}}`: true,
		`{"leaves":{"b":{},"a":{"note":"x","bigNumber":"9007199254740993","child":{"child":{}}},"\ufb33":{},"\ud83d\ude00":{},"":{},"\u00e9":{}}}`:                 true,
		`{"byNumber":{"10":"a","9":"b","-1":"c"},"byBool":{"true":"1","false":"2"}}`:                                                                               true,
		`{"numbers":["1","2"],"list":[{},{"note":"n"}],"enums":[0,1,77]}`:                                                                                          true,
		`{"at":"2025-01-02T03:04:05.006Z","took":"1.5s","mask":"a,b","boxed":"5","raw":"AA==","nothing":{},"times":["2025-01-02T03:04:05Z"],"counters":{"a":"1"}}`: true,
		`{"config":{"b":[null,true,"x",{"k":7}],"a":{},"c":[],"d":null},"some":[],"anything":null,"values":[null,1,[2],{"x":"y"}]}`:                                true,
		`{"config":{"a":0.1}}`: false,
		`{"two":{"plain":1}}`:  false, // its type has a group
	} {
		m := s.parse(t, json).Interface()
		want, err := payloadJSON(m, s.walk())
		got, ok := written(m, s.walk())
		if err != nil || ok != common || ok && got != string(want) {
			t.Errorf("%s\nis written %s, %t\nwant       %s, %t, %v", json, got, ok, want, common, err)
		}
	}
}

// Secrets are left out, wherever they are.
func TestWriterLeavesSecretsOut(t *testing.T) {
	inner, err := anypb.New(sandbox())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{sandbox(), &sandboxv1.CreateSandboxResponse{Session: &sandboxv1.Session{Id: "s", AccessToken: "canary"}}, inner} {
		want, err := payloadJSON(m, secretwalk.Walk{})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := written(m, secretwalk.Walk{}); !ok || got != string(want) || strings.Contains(got, "canary") || !strings.Contains(prototext.Format(m), "canary") && m != proto.Message(inner) {
			t.Errorf("written %s, %t\nwant    %s", got, ok, want)
		}
	}
	// By another option others are secret, also for types that were seen before.
	if got, ok := written(sandbox(), secretwalk.Walk{Option: 60001}); !ok || !strings.Contains(got, "canary") {
		t.Errorf("written %s, %t", got, ok)
	}
}

// What has no JSON form, or one that is not common, is not written.
func TestWriterGivesUp(t *testing.T) {
	for name, m := range map[string]proto.Message{
		"no UTF-8":               &sandboxv1.GetSandboxRequest{Name: "\xff"},
		"no UTF-8 in a key":      &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Labels: map[string]string{"\xff": "x"}}},
		"an Any of no type":      &anypb.Any{TypeUrl: "x/no.Such", Value: []byte("canary")},
		"a Value of no kind":     &structpb.Value{},
		"room for extensions":    &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)},
		"extensions, further in": &descriptorpb.FieldDescriptorProto{Options: &descriptorpb.FieldOptions{}},
	} {
		if got, ok := written(m, secretwalk.Walk{}); ok {
			t.Errorf("%s: written %s", name, got)
		}
	}
	nested := structpb.NewListValue(&structpb.ListValue{})
	for range maxWritten {
		nested = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{nested}})
	}
	if _, ok := written(nested, secretwalk.Walk{}); ok {
		t.Error("there is no bound to the depth")
	}
	if raw, err := NewPayload(nested).JSON(); err != nil || len(raw) != 2*(maxWritten+1) {
		t.Errorf("a payload %d lists deep is %s, %v", maxWritten, raw, err)
	}
}

// The bytes in an Any that make the library panic are no reason for us to.
func TestAnAnyThatPanics(t *testing.T) {
	s := schemaOf(t)
	box := &anypb.Any{TypeUrl: "x/s.All", Value: []byte{20<<3&0x7f | 2 | 0x80, 20 >> 4, 5, 1<<3 | 2, 1, 'a', 1 << 3, 0}} // a key twice, once as a number
	p := newPayload(box, s.walk())
	for range 2 {
		if raw, err := p.JSON(); err == nil || !strings.Contains(err.Error(), "no JSON form") {
			t.Errorf("payload %s, %v", raw, err)
		}
	}
	if got := s.walk().Redact(box); got != proto.Message(box) {
		t.Errorf("redacted to %v", got)
	}
}

// decoded reads a message; false when it is none, or makes the library panic.
func decoded(raw []byte, m proto.Message, s *shapes) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return (proto.UnmarshalOptions{AllowPartial: true, Resolver: s.types}).Unmarshal(raw, m) == nil
}

// FuzzWriter holds the writer against the long way, for messages of any bytes.
func FuzzWriter(f *testing.F) {
	s := schemaOf(f)
	seed := func(kind uint8, m proto.Message) {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kind, raw)
	}
	all := s.all.New().Interface()
	if err := (protojson.UnmarshalOptions{Resolver: s.types}).Unmarshal([]byte(`{"fDouble":5,"fString":"\u0001","leaves":{"b":{},"a":{"note":"x"}},"byBool":{"true":"1"},"config":{"b":[null,{"k":7.5}]},"at":"2025-01-02T03:04:05.006Z","two":{"plain":1}}`), all); err != nil {
		f.Fatal(err)
	}
	seed(0, all)
	seed(1, sandbox())
	seed(2, structpb.NewStringValue("x"))
	kinds := []func() proto.Message{
		func() proto.Message { return s.all.New().Interface() },
		func() proto.Message { return &sandboxv1.CreateSandboxRequest{} },
		func() proto.Message { return &structpb.Value{} },
		func() proto.Message { return &structpb.Struct{} },
		func() proto.Message { return &descriptorpb.FileDescriptorProto{} },
	}
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		m := kinds[int(kind)%len(kinds)]()
		if !decoded(raw, m, s) {
			return
		}
		got, ok := written(m, s.walk())
		if !ok {
			return
		}
		if want, err := payloadJSON(m, s.walk()); err != nil || got != string(want) {
			t.Errorf("written %s\nwant    %s, %v", got, want, err)
		}
	})
}

// BenchmarkPayload tells what the JSON form of a request costs, and what the long
// way would.
func BenchmarkPayload(b *testing.B) {
	m := sandbox()
	b.Run("writer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := NewPayload(m).JSON(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("long", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := payloadJSON(m, secretwalk.Walk{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
