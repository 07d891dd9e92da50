// SPDX-License-Identifier: Apache-2.0

package secretwalk_test

import (
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

func boxOf(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	box, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// What an Any may have done to it depends on what it holds, since its schema
// does not say.
func TestGuards(t *testing.T) {
	public := boxOf(t, wrapperspb.String("x"))
	// The type counts, as it does for fields: this one's token is not set.
	secret := boxOf(t, &sandboxv1.Credentials{TokenHint: "h"})
	unknown := &anypb.Any{TypeUrl: "x/no.Such", Value: []byte{8, 1}}
	list := func(boxes ...*anypb.Any) proto.Message { return &spb.Status{Message: "m", Details: boxes} }
	for name, tc := range map[string]struct {
		m       proto.Message
		pointer string
		want    bool
	}{
		"public":                          {list(public), "/details/0", false},
		"the list of it":                  {list(public), "/details", false},
		"the whole":                       {list(public), "", false},
		"inside it":                       {list(public), "/details/0/value", true},
		"a new item":                      {list(public), "/details/-", false},
		"none":                            {list(), "", false},
		"secret":                          {list(secret), "/details/0", true},
		"the list of a secret":            {list(secret), "/details", true},
		"all of it":                       {list(secret), "", true},
		"another item, since items shift": {list(public, secret), "/details/0", true},
		"beside the list":                 {list(secret), "/message", false},
		"a secret two boxes deep":         {list(boxOf(t, list(boxOf(t, list(secret))))), "/details/0", true},
		"public two boxes deep":           {list(boxOf(t, list(public))), "/details/0", false},
		"unknown":                         {list(unknown), "/details/0", true},
		"bytes that are none":             {list(&anypb.Any{TypeUrl: public.GetTypeUrl(), Value: []byte{8}}), "/details/0", true},
		"empty":                           {list(&anypb.Any{}), "/details/0", false},
		"itself":                          {public, "", false},
		"itself, secret":                  {secret, "", true},
		"no such field":                   {list(secret), "/nothing", false},
		"a marked field, though unset":    {&sandboxv1.Credentials{}, "/token", true},
	} {
		md := tc.m.ProtoReflect().Descriptor()
		pointer := strings.Split(tc.pointer, "/")[1:]
		if tc.pointer == "" {
			pointer = nil
		}
		if got := (secretwalk.Walk{}).Guards(md, tc.m.ProtoReflect(), pointer); got != tc.want {
			t.Errorf("%s: guarded: %t, want %t", name, got, tc.want)
		}
		// Without the message no Any holds anything; what is not in doubt stays.
		if (secretwalk.Walk{}).Guards(md, nil, pointer) && !tc.want {
			t.Errorf("%s: guarded by its type alone", name)
		}
	}
	var none protoreflect.Message
	if (secretwalk.Walk{}).Guards(public.ProtoReflect().Descriptor(), none, nil) {
		t.Error("an Any is guarded by its type")
	}
}
