// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/ocsf"
)

// TestDecodeClass: the class is that of the event's own class_uid, wherever else
// the text has one and however it is written.
func TestDecodeClass(t *testing.T) {
	for _, c := range []struct {
		text string
		want ocsf.ClassUID
	}{
		{`{"class_uid":6003}`, 6003},
		{`{ "class_uid" : 6003 }`, 6003},
		{`{"class_uid":0}`, 0},
		{`{"a":{"class_uid":1001},"class_uid":6003}`, 6003},
		{`{"a":{"class_uid":1001},"class\u005fuid":6003}`, 6003},
		{`{"a":{"class_uid":6003},"class\u005fuid":6003}`, 6003},
		{`{"a":{"class_uid":1},"class_uid":6003}`, 6003},
		{`{"a":{"class_uid":6003},"class_uid":0}`, 0},
		{`{"a_class_uid":1001,"class_uid":6003}`, 6003},
		{`{"raw_data":"{\"class_uid\":1001}","class_uid":6003}`, 6003},
		{`{"class_uid":6003,"unmapped":{"class_uid":1001}}`, 6003},
		{`{"metadata":{"class_uid":1001},"message":"class_uid\":1001","class_uid":2004}`, 2004},
	} {
		e, err := ocsf.Decode([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if e.Class() != c.want || e.Common().ClassUID != c.want {
			t.Errorf("%s is read as %d, class_uid %d", c.text, e.Class(), e.Common().ClassUID)
		}
		lossless(t, c.text, []byte(c.text))
	}
	for _, text := range []string{
		`{"a":{"class_uid":6003}}`,
		`{"a":{"class_uid":6003},"class_uid":1}`,
		`{"a":"x","aclass_uid":6003}`,
	} {
		if e, err := ocsf.Decode([]byte(text)); !errors.Is(err, ocsf.ErrUnknownClass) {
			t.Errorf("%s is read as %T, %v", text, e, err)
		}
	}
	for _, text := range []string{
		`{"a":{"class_uid":6003},"class_uid":null}`,
		`{"a":{"class_uid":6003},"class_uid":6003.0}`,
	} {
		var wrong *ocsf.TypeError
		if e, err := ocsf.Decode([]byte(text)); !errors.As(err, &wrong) {
			t.Errorf("%s is read as %T, %v", text, e, err)
		}
	}
}

// TestDecodeFreeForm takes values through an attribute that is free-form, one that
// the schema does not know and an array of it: all three keep what is JSON, as it
// is, and refuse what is not, as the library says that [ocsf.Canonicalize] uses.
func TestDecodeFreeForm(t *testing.T) {
	names := func(from, to, step int) string {
		var b strings.Builder
		for i := from; i != to; i += step {
			fmt.Fprintf(&b, `"n%03d":%d,`, i, i)
		}
		return b.String()
	}
	for _, text := range []string{
		`{}`, `[]`, `{ }`, "[\n]", `[[]]`, `{"a":{}}`, `[1,2.5,-0,0,-1e-7,1E+9,true,false,null,"x"]`, "{ \"a\" : [ 1 , { } ] ,\t\"b\"\r:\n2 }",
		`[01]`, `[1.]`, `[.5]`, `[+1]`, `[-]`, `[1e]`, `[0x1]`, `[1_0]`, `[NaN]`, `[tru]`, `[truex]`, `[nulll]`, `[12345678901234567890,123456789012345678]`, `[1/2]`,
		`{"a":1,"b":2}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"b":1,"a":2,"b":3}`, `{"b":1,"a":2,"a":3}`, `{"":1,"":2}`, `{"":1,"a":2,"":3}`, `{"a":1,"":2}`,
		`{"a":1,"\u0061":2}`, `{"\u0061":1,"a":2}`, `{"\u0062":1,"a":2}`, `{"a\"":1,"a":2}`, `{"é":1,"e":2}`, `{"é":1,"é":2}`, `{"é":1,"\u00e9":2}`,
		`{` + names(0, 40, 1) + `"x":0}`, `{` + names(40, 0, -1) + `"x":0}`, `{` + names(0, 40, 1) + `"n039":0}`, `{` + names(0, 40, 1) + `"n000":0}`, `{` + names(40, 0, -1) + `"n001":0}`,
		`{` + names(7, 0, -1) + `"a":0}`, `{` + names(8, 0, -1) + `"a":0}`, `{` + names(9, 0, -1) + `"a":0}`, `{` + names(9, 0, -1) + `"n008":0}`, `{` + names(8, 0, -1) + `"n001":0}`,
		`["","a","12345678","123456789","é","日本語","` + "\U0001F600" + `","a日b","\"\\\/\b\f\n\r\t","\u00e9","\u00E9","\u0000"]`,
		`["\ud83d\ude00"]`, `["\ud83d"]`, `["\ude00\ud83d"]`, `["\ud83dx"]`, `["\x"]`, `["\u12"]`, `["\u12g4"]`, `["\u+123"]`, `["\`, `["\u`, "[\"\xff\"]", "[\"\xed\xa0\x80\"]", "[\"日\xff本\"]", "[\"a\nb\"]", "[\"\x7f\"]", "[\"\x1f\"]",
		`["a]`, `["a"`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1:2]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{a:1}`, `{"a" 1}`, `{"a"::1}`, `{1:1}`, `[}`, `{]`, `{"a":1]`, `[1}`, `[[1]`, `{"a":[1}`, `[1]]`, "[\v1]", "[1\x00]",
	} {
		sound := jsontext.Value(text).IsValid()
		for _, in := range []string{
			`{"class_uid":6003,"api":{"request":{"data":` + text + `}}}`,
			`{"class_uid":6003,"x":` + text + `}`,
			`{"x":[` + text + `],"class_uid":6003}`,
		} {
			e, err := ocsf.Decode([]byte(in))
			if (err == nil) != sound {
				t.Errorf("%s: %v; jsontext says valid: %t", in, err, sound)
			}
			if err != nil {
				continue
			}
			var kept ocsf.Raw
			if api := e.Common().API; api != nil {
				kept, _ = api.Request.Data.(ocsf.Raw)
			} else {
				kept = e.Common().Extra.Get("x")
			}
			if k := string(kept); k != text && k != "["+text+"]" {
				t.Errorf("%s keeps %s", in, kept)
			}
		}
	}
}

// TestDecodeDepth: an event may be as deep as MaxDepth, whatever it is deep in.
func TestDecodeDepth(t *testing.T) {
	nested := func(open, middle, shut string, n int) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
	}
	for _, c := range []struct {
		before, open, middle, shut, after string
		taken                             int // levels before
	}{
		{`{"class_uid":6003,"x":`, `[`, ``, `]`, `}`, 1},
		{`{"class_uid":6003,"unmapped":{"x":`, `{"a":`, `1`, `}`, `}}`, 2},
		{`{"class_uid":6003,"api":{"request":{"data":`, `[`, `{}`, `]`, `}}}`, 4},
		{`{"class_uid":1007,"process":`, `{"parent_process":`, `null`, `}`, `}`, 1},
	} {
		fits := ocsf.MaxDepth - c.taken
		if _, err := ocsf.Decode([]byte(c.before + nested(c.open, c.middle, c.shut, fits) + c.after)); err != nil {
			t.Errorf("%s: %v", c.before, err)
		}
		if _, err := ocsf.Decode([]byte(c.before + nested(c.open, c.middle, c.shut, fits+1) + c.after)); !errors.Is(err, ocsf.ErrDepth) {
			t.Errorf("%s: %v, want ErrDepth", c.before, err)
		}
	}
}
