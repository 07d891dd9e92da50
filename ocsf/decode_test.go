// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"github.com/docket-audit/docket/ocsf"
)

const examples = "../schemas/ocsf/examples/1.8.0"

// typical returns an event as Docket writes most of them: a result, 1.6 KB.
func typical(t testing.TB) *ocsf.APIActivity {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(examples, "02_result_modify.json"))
	if err != nil {
		t.Fatal(err)
	}
	event, err := ocsf.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := event.(*ocsf.APIActivity)
	if !ok {
		t.Fatalf("it is a %T", event)
	}
	e.Verbatim = false
	e.API.Response.Data = ocsf.Canonical(`{"allowed":true,"patches":[{"op":"replace","path":"/spec/image","value":"y"}]}`)
	e.Unmapped = nil
	e.Authorizations, e.Metadata.Tags, e.Actor.Session, e.Actor.User.Groups = nil, nil, nil, nil
	e.StartTime, e.EndTime = 0, 0
	return e
}

// A reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// value reads JSON so that numbers are compared by what they say, all their digits.
func value(t reporter, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return r.RatString()
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// lossless decodes and encodes b twice, and says what became of it.
func lossless(t reporter, name string, b []byte) {
	t.Helper()
	e, err := ocsf.Decode(b)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	once, err := ocsf.Encode(e)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if diff := cmp.Diff(value(t, b), value(t, once)); diff != "" {
		t.Errorf("%s is not the same value (-want +got):\n%s", name, diff)
	}
	again, err := ocsf.Decode(once)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if twice, err := ocsf.Encode(again); err != nil || !bytes.Equal(once, twice) {
		t.Errorf("%s (%v):\n once %s\ntwice %s", name, err, once, twice)
	}
	canonical, err := ocsf.AppendCanonical(nil, again)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if oracle, err := jcs.Transform(once); err != nil || !bytes.Equal(oracle, canonical) {
		t.Errorf("%s is not canonical (%v):\n got %s\nwant %s", name, err, canonical, oracle)
	}
}

func TestDecodeExamples(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(examples, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lossless(t, filepath.Base(name), b)
	}
}

// TestDecodeKeeps checks that nothing is lost that a Go field cannot tell.
func TestDecodeKeeps(t *testing.T) {
	for _, text := range []string{
		`{"class_uid":6003}`,
		`{"class_uid":6003,"activity_id":0,"severity_id":0,"time":0,"status_id":0,"message":"","count":0,"is_alert":false,"duration":null,"status":null}`,
		`{"class_uid":6003,"metadata":{}}`,
		`{"class_uid":6003,"metadata":null,"unmapped":{},"api":null}`,
		`{"class_uid":6003,"metadata":{"profiles":[],"labels":null,"loggers":[{}],"version":""}}`,
		`{"class_uid":6003,"zz":{"a":[1,2,{"b":null}]},"":1,"\u0000":2,"é":3,"` + "\U0001F600" + `":4,"` + "\uFB33" + `":5}`,
		`{"class_uid":6003,"api":{"request":{"uid":"","data":null,"containers":[]},"response":{"code":0,"data":{"x":1}}}}`,
		`{"class_uid":6003,"action":"Allowed"}`,
		`{"class_uid":6003,"action_id":1}`,
		`{"class_uid":6003,"action_id":77,"severity_id":-5,"type_uid":1,"category_uid":3,"class_name":"?"}`,
		`{"class_uid":6003,"src_endpoint":{"location":{"lat":5.0,"long":-0.5,"coordinates":[1.0,2.5]}}}`,
		`{"class_uid":6003,"metadata":{"version":"9.9.9"},"attestation_list":[]}`,
		`{"class_uid":0}`,
		`{"x":{"class_uid":1},"class\u005fuid":6003}`,
		`{"class_uid":1007,"process":{"parent_process":{"parent_process":{"name":"init","pid":1}},"tid":0}}`,
		"\n\t{ \"class_uid\" : 6003 , \"message\" : \"a\\u00e9\\n\\ud83d\\ude00\" }\r\n",
	} {
		b := []byte(text)
		e, err := ocsf.Decode(b)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := ocsf.Encode(e)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(value(t, b), value(t, got)) {
			t.Errorf("lost something:\n was %s\n  is %s", text, got)
		}
	}
}

// TestDecodeTokens checks that free-form values keep their number tokens.
func TestDecodeTokens(t *testing.T) {
	e, err := ocsf.Decode([]byte(`{"class_uid":6003,"api":{"operation":"o","request":{"uid":"u","data":{"n": 12345678901234567890, "x":1.50}}},"unmapped":{"a":1e2,"b":[ 1 ]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := ocsf.Raw(`{"n": 12345678901234567890, "x":1.50}`)
	if diff := cmp.Diff(any(want), e.Common().API.Request.Data); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"a": ocsf.Raw("1e2"), "b": ocsf.Raw("[ 1 ]")}, e.Common().Unmapped); diff != "" {
		t.Error(diff)
	}
	var inexact *ocsf.InexactError
	if _, err := ocsf.Encode(e); !errors.As(err, &inexact) {
		t.Errorf("Encode: %v, want an InexactError", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	var (
		wrong  *ocsf.TypeError
		syntax *ocsf.SyntaxError
	)
	for _, c := range []struct {
		text, path string
		is         error
		as         any
	}{
		{``, "", nil, &syntax},
		{`  `, "", nil, &syntax},
		{`[]`, "", nil, &wrong},
		{`null`, "", nil, &wrong},
		{`{}`, "", ocsf.ErrUnknownClass, nil},
		{`{"class_uid`, "", nil, &syntax},
		{`{"a":1,"class_uid"`, "", nil, &syntax},
		{`{"class_uid":1}`, "", ocsf.ErrUnknownClass, nil},
		{`{"class_uid":null}`, "class_uid", nil, &wrong},
		{`{"class_uid":"6003"}`, "class_uid", nil, &wrong},
		{`{"class_uid":6003.0}`, "class_uid", nil, &wrong},
		{`{"class_uid":6003,"time":1e3}`, "time", nil, &wrong},
		{`{"class_uid":6003,"time":9223372036854775808}`, "time", nil, &wrong},
		{`{"class_uid":6003,"time":"now"}`, "time", nil, &wrong},
		{`{"class_uid":6003,"message":1}`, "message", nil, &wrong},
		{`{"class_uid":6003,"is_alert":"yes"}`, "is_alert", nil, &wrong},
		{`{"class_uid":6003,"metadata":[]}`, "metadata", nil, &wrong},
		{`{"class_uid":6003,"metadata":{"loggers":[{"uid":"a"},{"uid":[]}]}}`, "metadata.loggers[1].uid", nil, &wrong},
		{`{"class_uid":6003,"metadata":{"labels":["a",null]}}`, "metadata.labels[1]", nil, &wrong},
		{`{"class_uid":6003,"metadata":{"loggers":{}}}`, "metadata.loggers", nil, &wrong},
		{`{"class_uid":6003,"unmapped":[]}`, "unmapped", nil, &wrong},
		{`{"class_uid":6003,"src_endpoint":{"location":{"lat":1e999}}}`, "src_endpoint.location.lat", nil, &wrong},
		{`{"class_uid":6003,"message":"a","message":"a"}`, "message", nil, &syntax},
		{`{"class_uid":6003,"x":1,"x":1}`, "x", nil, &syntax},
		{`{"class_uid":6003,"unmapped":{"x":1,"x":1}}`, "unmapped.x", nil, &syntax},
		{`{"class_uid":6003,"unmapped":{"x":{"y":1,"y":1}}}`, "unmapped.x.y", nil, &syntax},
		{"{\"class_uid\":6003,\"message\":\"\xff\"}", "message", nil, &syntax},
		{"{\"class_uid\":6003,\"x\":[\"\xff\"]}", "x[0]", nil, &syntax},
		{"{\"class_uid\":6003,\"message\":\"a\nb\"}", "message", nil, &syntax},
		{`{"class_uid":6003,"message":"\ud800"}`, "message", nil, &syntax},
		{`{"class_uid":6003,"message":"\x"}`, "message", nil, &syntax},
		{`{"class_uid":6003,"message":"`, "message", nil, &syntax},
		{`{"class_uid":6003,"time":01}`, "time", nil, &syntax},
		{`{"class_uid":6003,"time":1}}`, "", nil, &syntax},
		{`{"class_uid":6003} x`, "", nil, &syntax},
		{`{"class_uid":6003,}`, "class_uid", nil, &syntax},
		{`{"class_uid":6003 "time":1}`, "class_uid", nil, &syntax},
		{`{"class_uid":6003,"time":NaN}`, "time", nil, &syntax},
		{`{"class_uid":6003,"x":nul}`, "x", nil, &syntax},
		{`{"class_uid":6003,"x":[1,]}`, "x", nil, nil},
		{`{"class_uid":6003,"x":` + many("[", 1<<20), "", ocsf.ErrDepth, nil},
		{`{"class_uid":1007,"process":` + many(`{"parent_process":`, 1<<20), "", ocsf.ErrDepth, nil},
	} {
		e, err := ocsf.Decode([]byte(c.text))
		if err == nil {
			t.Errorf("Decode(%.80s) = %+v", c.text, e)
			continue
		}
		var decode *ocsf.DecodeError
		if !errors.As(err, &decode) {
			t.Errorf("Decode(%.80s): %v is a %T", c.text, err, err)
			continue
		}
		if len(err.Error()) > 1<<10 {
			t.Errorf("Decode(%.80s): an error of %d bytes", c.text, len(err.Error()))
		}
		if len(c.text) < 1<<10 && !strings.HasPrefix(decode.Path, c.path) {
			t.Errorf("Decode(%.80s): %v; want it at %q", c.text, err, c.path)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("Decode(%.80s): %.200v, want %v", c.text, err, c.is)
		}
		if c.as != nil && !errors.As(err, c.as) {
			t.Errorf("Decode(%.80s): %.200v (%T), want %T", c.text, err, decode.Err, c.as)
		}
	}
}

// TestDecodeManyUnknown: looking for duplicates must not take the square of the
// number of members.
func TestDecodeManyUnknown(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"class_uid":6003`)
	for i := range 200_000 {
		b.WriteString(`,"x` + strings.Repeat("y", i%3) + json.Number(string(rune('0'+i%10))).String() + itoa(i) + `":1`)
	}
	e, err := ocsf.Decode([]byte(b.String() + `}`))
	if err != nil || len(e.Common().Extra) != 200_000 {
		t.Fatal(err)
	}
	var syntax *ocsf.SyntaxError
	if _, err := ocsf.Decode([]byte(b.String() + `,"x00":2}`)); !errors.As(err, &syntax) {
		t.Errorf("a duplicate among many: %v", err)
	}
}

func itoa(i int) string { b, _ := json.Marshal(i); return string(b) }

func FuzzDecode(f *testing.F) {
	b, err := ocsf.Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"class_uid":2004,"finding_info":{"uid":"x"},"unmapped":{"n":9007199254740993}}`))
	f.Add([]byte(`{"class_uid":6003,"status_id":0,"message":null,"metadata":{},"src_endpoint":{"location":{"lat":5.0}},"x":[1,{"y":"\u00e9"}]}`))
	f.Add([]byte(`{"a":{"class_uid":1001},"class_uid":6003,"x":{"b":1,"a":[-1.5e3,"\u00e9é",true],"":{}},"metadata":{"profiles":["a",""]}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := ocsf.Decode(in)
		if err != nil {
			var decode *ocsf.DecodeError
			if !errors.As(err, &decode) {
				t.Fatalf("%v is a %T", err, err)
			}
			return
		}
		// What is read is JSON without duplicate names, by another parser's word, and
		// its class is the one that it says itself.
		if !jsontext.Value(in).IsValid() {
			t.Fatalf("Decode reads what is no JSON: %q", in)
		}
		var own struct {
			ClassUID ocsf.ClassUID `json:"class_uid"`
		}
		if err := jsonv2.Unmarshal(in, &own); err != nil || own.ClassUID != e.Class() {
			t.Fatalf("%d (%v) is read as %d: %q", own.ClassUID, err, e.Class(), in)
		}
		once, err := ocsf.Encode(e)
		var inexact *ocsf.InexactError
		if errors.As(err, &inexact) {
			return // in a free-form value
		}
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

// TestDecodeAllocates bounds what the typical event costs: itself, its objects, the
// copy of its text, and no more.
func TestDecodeAllocates(t *testing.T) {
	b, err := ocsf.Encode(typical(t))
	if err != nil {
		t.Fatal(err)
	}
	const most = 23
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ocsf.Decode(b); err != nil {
			t.Fatal(err)
		}
	}); n > most {
		t.Errorf("%v allocations, want %d", n, most)
	}
}

// TestVectors takes the vectors of validation through the codec: for each class
// an event with all attributes, and events with one fault each. Of those the
// codec refuses what does not fit a Go type, and nothing else.
func TestVectors(t *testing.T) {
	full := map[ocsf.ClassUID]bool{}
	for _, v := range readVectors(t) {
		e, err := ocsf.Decode(v.Event)
		if err == nil {
			lossless(t, v.File, v.Event)
			if strings.HasSuffix(v.File, ".full.json") {
				full[e.Class()] = true
				typed(t, v.File, e)
			}
			continue
		}
		var wrong *ocsf.TypeError
		if strings.HasPrefix(v.File, "generated") || !errors.As(err, &wrong) && !errors.Is(err, ocsf.ErrUnknownClass) {
			t.Errorf("%s: %v", v.File, err)
		}
	}
	const classes = 83 // of 1.8.0
	if len(full) != classes {
		t.Errorf("%d classes have a full vector, want %d", len(full), classes)
	}
}
