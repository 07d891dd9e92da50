// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf"
)

func sample() *ocsf.APIActivity {
	duration, applied := int64(3), true
	return &ocsf.APIActivity{
		Base: ocsf.Base{
			ActivityID: 1, Time: 1793215000100, SeverityID: 1, StatusID: 1, ActionID: 4, DispositionID: 11, Duration: &duration,
			Metadata: ocsf.Metadata{UID: "e1", Profiles: []string{"security_control"}, Product: &ocsf.Product{Name: "docket"}, Tags: []ocsf.KeyValue{{Name: "phase", Value: "validate"}}},
			Policy:   &ocsf.Policy{UID: "b", IsApplied: &applied},
			Unmapped: map[string]any{"z": 1, "a": []any{true, nil, 1.5, "é\u2028<&>"}, "\U0001F600": 1, "\uFB33": 2},
		},
		Actor:       &ocsf.Actor{User: &ocsf.User{UID: "alice", TypeID: 1}},
		API:         &ocsf.API{Operation: "CreateSandbox", Request: &ocsf.APIRequest{UID: "r", Data: map[string]any{"n": 1e21, "m": 100.0, "s": math.Copysign(0, -1)}}},
		SrcEndpoint: &ocsf.Endpoint{IP: "192.0.2.7"},
	}
}

func TestEncode(t *testing.T) {
	got, err := ocsf.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	// The name beyond the basic plane sorts before U+FB33: RFC 8785 orders by UTF-16.
	want := `{"action":"Modified","action_id":4,"activity_id":1,"actor":{"user":{"type":"User","type_id":1,"uid":"alice"}},` +
		`"api":{"operation":"CreateSandbox","request":{"data":{"m":100,"n":1e+21,"s":0},"uid":"r"}},"category_uid":6,"class_uid":6003,` +
		`"disposition":"Corrected","disposition_id":11,"duration":3,"metadata":{"product":{"name":"docket"},"profiles":["security_control"],` +
		`"tags":[{"name":"phase","value":"validate"}],"uid":"e1","version":"1.8.0"},"policy":{"is_applied":true,"uid":"b"},"severity_id":1,` +
		`"src_endpoint":{"ip":"192.0.2.7"},"status":"Success","status_id":1,"time":1793215000100,"type_uid":600301,` +
		`"unmapped":{"a":[true,null,1.5,"é` + "\u2028" + `<&>"],"z":1,"` + "\U0001F600" + `":1,"` + "\uFB33" + `":2}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("encoded event (-want +got):\n%s", diff)
	}
	oracle, err := jcs.Transform(got)
	if err != nil || !bytes.Equal(oracle, got) {
		t.Errorf("not canonical (%v):\n got %s\nwant %s", err, got, oracle)
	}
}

// TestDerived checks what nobody types by hand, for each class.
func TestDerived(t *testing.T) {
	for _, c := range []struct {
		event                     ocsf.Event
		class, category, activity int32
		status                    string
	}{
		{&ocsf.APIActivity{}, 6003, 6, 2, "Success"},
		{&ocsf.DetectionFinding{}, 2004, 2, 1, "New"},
		{&ocsf.ApplicationLifecycle{}, 6002, 6, 3, "Success"},
		{&ocsf.EntityManagement{Entity: &ocsf.ManagedEntity{TypeID: 5}}, 3004, 3, 10, "Success"},
		{&ocsf.ApplicationError{}, 6008, 6, 2, "Success"},
	} {
		b := c.event.Common()
		b.ActivityID, b.StatusID, b.Status, b.ActionID, b.DispositionID = c.activity, 1, "typed by hand", 99, 24
		b.Action = "the source's own word"
		if _, err := ocsf.Encode(c.event); err != nil {
			t.Fatal(err)
		}
		want := ocsf.Base{
			ActivityID: c.activity, ClassUID: c.class, CategoryUID: c.category, TypeUID: int64(c.class)*100 + int64(c.activity),
			StatusID: 1, Status: c.status, ActionID: 99, Action: "the source's own word", DispositionID: 24, Disposition: "Access Revoked",
			Metadata: ocsf.Metadata{Version: ocsf.Version, Profiles: []string{}},
		}
		if diff := cmp.Diff(want, *b); diff != "" {
			t.Errorf("%T (-want +got):\n%s", c.event, diff)
		}
		if e, ok := c.event.(*ocsf.EntityManagement); ok && e.Entity.Type != "Policy" {
			t.Errorf("entity type %q, want Policy", e.Entity.Type)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, v := range map[string]any{
		"invalid UTF-8":  "\xff",
		"NaN":            math.NaN(),
		"infinity":       math.Inf(1),
		"2^53+1":         int64(1)<<53 + 1,
		"max uint64":     uint64(math.MaxUint64),
		"deep down":      map[string]any{"a": []any{map[string]any{"b": int64(math.MinInt64 + 1)}}},
		"a raw 2^60":     json.RawMessage(`{"a":1152921504606846976}`),
		"a channel":      make(chan int),
		"duplicate name": json.RawMessage(`{"a":1,"a":2}`),
	} {
		e := sample()
		e.Unmapped = map[string]any{"v": v}
		b, err := ocsf.Encode(e)
		if err == nil {
			t.Errorf("%s: encoded as %s", name, b)
		}
		var inexact *ocsf.InexactError
		switch name {
		case "2^53+1", "max uint64", "deep down", "a raw 2^60":
			if !errors.As(err, &inexact) || inexact.Hint() == "" {
				t.Errorf("%s: %v, want an InexactError", name, err)
			}
		}
	}
}

func TestCanonicalize(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` { "b" : 1 , "a" : [ 1.0 , 1e2, -0, 0.1 ] } `, `{"a":[1,100,0,0.1],"b":1}`},
		{`"\u0041\/\u00e9\u001f\ud83d\ude00"`, `"A/é\u001f😀"`},
		{`9007199254740992`, `9007199254740992`},
		{`-9007199254740992`, `-9007199254740992`},
		{`1152921504606847000`, `1152921504606847000`}, // 2^60 as RFC 8785 writes it
		{`100000000000000000000`, `100000000000000000000`},
		{`1E400`, ``},
		{`1152921504606846976`, ``},
		{`9007199254740993`, ``},
		{`-9007199254740993`, ``},
		{`{"a":1,"a":1}`, ``},
		{"\"\xff\"", ``},
		{``, ``},
		{`1 2`, ``},
		{`{`, ``},
		{`"\ud800"`, ``},
		{`nul`, ``},
		{`01`, ``},
		{`["\\",9007199254740993]`, ``},
		{`["\"9007199254740993"]`, `["\"9007199254740993"]`},
	} {
		got, err := ocsf.Canonicalize([]byte(c.in))
		if string(got) != c.want || (err == nil) == (c.want == "") {
			t.Errorf("Canonicalize(%s) = %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, e := range []ocsf.Event{
		sample(),
		&ocsf.DetectionFinding{Base: ocsf.Base{ActivityID: 1}, FindingInfo: &ocsf.FindingInfo{UID: "f", RelatedEvents: []ocsf.RelatedEvent{{UID: "e"}}}, Evidences: []ocsf.Evidence{{Data: "d"}}},
		&ocsf.ApplicationLifecycle{Base: ocsf.Base{ActivityID: 3}, App: &ocsf.Product{Name: "docket"}},
		&ocsf.EntityManagement{Base: ocsf.Base{ActivityID: 10}, Comment: "c", Entity: &ocsf.ManagedEntity{UID: "p", TypeID: 5}},
		&ocsf.ApplicationError{Base: ocsf.Base{ActivityID: 1, Message: "m"}},
	} {
		b, err := ocsf.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ocsf.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if reflect.TypeOf(back) != reflect.TypeOf(e) {
			t.Errorf("%T comes back as %T", e, back)
		}
		again, err := ocsf.Encode(back)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%T (%v):\n   sent %s\ncame back %s", e, err, b, again)
		}
	}
	if _, err := ocsf.Decode([]byte(`{"class_uid":1008}`)); !errors.Is(err, ocsf.ErrUnknownClass) {
		t.Errorf("Decode of a class unknown here: %v", err)
	}
	for _, bad := range []string{``, `[]`, `null`, `{"class_uid":"6003"}`, `{"class_uid":6003,"time":"now"}`, `{"class_uid":6003.5}`} {
		if e, err := ocsf.Decode([]byte(bad)); err == nil {
			t.Errorf("Decode(%s) = %+v", bad, e)
		}
	}
}

// TestOracle compares our canonical form with an independent implementation.
func TestOracle(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("ab\"\\/\b\f\n\r\t\x00\x1f\x7f é€\u2028\uFB33\U0001F600")))
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaves := []*rapid.Generator[any]{
			text.AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil), rapid.Float64().AsAny(),
			rapid.Int64Range(-1<<53, 1<<53).AsAny(), rapid.Float64Range(-1e-5, 1e-5).AsAny(),
		}
		if depth > 0 {
			leaves = append(leaves,
				rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "array") }),
				rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(text, value(depth-1), 0, 4).Draw(t, "object") }))
		}
		return rapid.OneOf(leaves...)
	}
	rapid.Check(t, func(t *rapid.T) {
		in, err := json.Marshal(value(3).Draw(t, "value"))
		if err != nil {
			t.Skip()
		}
		got, err := ocsf.Canonicalize(in)
		var inexact *ocsf.InexactError
		if errors.As(err, &inexact) {
			t.Skip() // a double that encoding/json writes with all its digits
		}
		if err != nil {
			t.Fatal(err)
		}
		// The oracle takes objects and arrays only.
		want, err := jcs.Transform(append(append([]byte{'['}, in...), ']'))
		if err != nil {
			t.Fatal(err)
		}
		if w := strings.TrimSuffix(strings.TrimPrefix(string(want), "["), "]"); w != string(got) {
			t.Fatalf("Canonicalize(%s)\n got %s\nwant %s", in, got, w)
		}
	})
}

// TestEncodeOracle compares the encoder with the plain way: encoding/json v2 and
// then the canonical form of what it wrote.
func TestEncodeOracle(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("ab\"\\\n\x00 é\u2028\uFB33\U0001F600")))
	rapid.Check(t, func(t *rapid.T) {
		e := sample()
		e.Message, e.StatusDetail = text.Draw(t, "message"), text.Draw(t, "detail")
		e.Time, e.StatusID = rapid.Int64Range(0, 1<<53).Draw(t, "time"), rapid.Int32Range(0, 3).Draw(t, "status")
		e.API.Request.Data = rapid.OneOf(
			text.AsAny(), rapid.Float64().AsAny(), rapid.Just[any](nil), rapid.Just[any]([]any{}), rapid.Just[any](map[string]any{}),
			rapid.MapOf(text, text).AsAny(), rapid.SliceOf(text).AsAny(), rapid.SliceOf(rapid.Int8()).AsAny(), rapid.MapOf(text, rapid.Float32()).AsAny(),
			rapid.Just[any](ocsf.Canonical(`{"a":[1,"x"]}`)), rapid.Just[any](ocsf.Canonical(`{}`)), rapid.Just[any](json.RawMessage(`{"b":1, "a":1e2}`)),
		).Draw(t, "data")
		e.Metadata.Labels = rapid.SliceOf(text).Draw(t, "labels")
		e.Unmapped = rapid.MapOf(text, rapid.Float64().AsAny()).Draw(t, "unmapped")
		got, err := ocsf.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := jsonv2.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jcs.Transform(plain)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("encoded (-want +got):\n%s", diff)
		}
	})
}

func FuzzCanonicalize(f *testing.F) {
	for _, s := range []string{`{"b":[1,2.5e3,"x"],"a":null}`, `9007199254740993`, `"\u2028"`, `[[[]]]`, `1e999`, `-0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		got, err := ocsf.Canonicalize(in)
		if !bytes.Equal(in, before) {
			t.Fatal("Canonicalize changes its input")
		}
		if err != nil {
			return
		}
		if again, err := ocsf.Canonicalize(got); err != nil || !bytes.Equal(got, again) {
			t.Fatalf("not idempotent (%v):\nonce  %s\ntwice %s", err, got, again)
		}
	})
}

func FuzzDecode(f *testing.F) {
	b, err := ocsf.Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"class_uid":2004,"finding_info":{"uid":"x"},"unmapped":{"n":9007199254740993}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := ocsf.Decode(in)
		if err != nil {
			return
		}
		once, err := ocsf.Encode(e)
		if err != nil {
			t.Fatalf("what Decode reads, Encode refuses: %v", err)
		}
		back, err := ocsf.Decode(once)
		if err != nil {
			t.Fatalf("what Encode writes, Decode refuses: %v", err)
		}
		if twice, err := ocsf.Encode(back); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("round trip (%v):\n%s\n%s", err, once, twice)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ocsf.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(e); err != nil {
			b.Fatal(err)
		}
	}
}
