// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// told returns what a Reader says of an input, a line for each event, fault and
// error: INDEX@LINE DATA.
func told(t testing.TB, src io.Reader, o Options) []string {
	t.Helper()
	r := NewReader(src, o)
	var out []string
	for {
		e, err := r.Next()
		if r.credit < 0 {
			t.Fatal("looked at more bytes twice than there were")
		}
		var f *Fault
		switch {
		case errors.Is(err, io.EOF):
			if _, again := r.Next(); !errors.Is(again, io.EOF) {
				t.Errorf("behind the end: %v", again)
			}
			return out
		case errors.As(err, &f):
			out = append(out, fmt.Sprintf("%d@%d ! %s", f.Index, f.Line, f.Reason))
		case err != nil:
			return append(out, "!! "+err.Error())
		case e.Bundle:
			out = append(out, fmt.Sprintf("%d@%d bundle %s", e.Index, e.Line, e.Data))
		default:
			out = append(out, fmt.Sprintf("%d@%d %s", e.Index, e.Line, e.Data))
		}
	}
}

func TestReader(t *testing.T) {
	const (
		never  = "! the event never ends: the input is cut off"
		other  = "! the event never ends: another one begins where it should go on"
		quoted = "! a string never ends: the line is cut off"
		behind = "! there is something behind the event: "
		expect = "! want an event (a JSON object), found "
	)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"white space", " \n\r\n\t", nil},
		{"one", `{"a":1}`, []string{`0@1 {"a":1}`}},
		{"laid out", "{\n  \"a\": [\n    {\n    }\n  ]\n}\n", []string{"0@1 {\n  \"a\": [\n    {\n    }\n  ]\n}"}},
		{"laid out without white space", "{\n\"a\": [\n{\n},\n{\n}\n]\n}\n", []string{"0@1 {\n\"a\": [\n{\n},\n{\n}\n]\n}"}},
		{"lines", "{\"a\":1}\n{\"b\":2}\r\n\n  \n{\"c\":3}", []string{`0@1 {"a":1}`, `1@2 {"b":2}`, `2@5 {"c":3}`}},
		{"byte order marks", "\ufeff{}\n\ufeff{\"a\":1}", []string{"0@1 {}", `1@2 {"a":1}`}},
		{"only a mark", "\ufeff", nil},
		{"one behind the other", `{}{"a":{}} {}`, []string{"0@1 {}", `1@1 {"a":{}}`, "2@1 {}"}},
		{"laid out, one behind the other", "{\n \"a\": 1\n}\n{\n}{\n}", []string{"0@1 {\n \"a\": 1\n}", "1@4 {\n}", "2@5 {\n}"}},
		{"brackets in strings", `{"a":"}]\"{[\\"}{"b":"\\\\"}`, []string{`0@1 {"a":"}]\"{[\\"}`, `1@1 {"b":"\\\\"}`}},
		{"array", "[{\"a\":1},\n {\"b\":[2,[3]]} , {}]", []string{`0@1 {"a":1}`, `1@2 {"b":[2,[3]]}`, "2@2 {}"}},
		{"empty arrays", "[] [\n]\n{}", []string{"0@3 {}"}},
		{"arrays, one a line", "[{},{}]\n[{}]", []string{"0@1 {}", "1@1 {}", "2@2 {}"}},
		{"an array of arrays", "[[{}],[{},{}]]", []string{"0@1 {}", "1@1 {}", "2@1 {}"}},
		{"bundle", "{\"count\": 2, \"events\": [{\"a\":1},\n{}], \"end_time\": 7}{}", []string{
			`0@1 {"a":1}`, "1@2 {}", `0@1 bundle {"count": 2, "events": [], "end_time": 7}`, "2@2 {}",
		}},
		{"bundles, one a line", "{\"events\":[]}\n{\"events\":[{}]}", []string{`0@1 bundle {"events":[]}`, "0@2 {}", `0@2 bundle {"events":[]}`}},
		{"a bundle with escapes in its names", `{"\u0063ount":1,"\u0065\u0076\u0065\u006e\u0074\u0073":[{"a":1}]}{}`, []string{
			`0@1 {"a":1}`, `0@1 bundle {"\u0063ount":1,"\u0065\u0076\u0065\u006e\u0074\u0073":[]}`, "1@1 {}",
		}},
		{"no bundles, by names with escapes", `{"class\u005fuid":1,"events":[{}]}{"\u0045vents":[{}]}{"events\\":[{}]}`, []string{
			`0@1 {"class\u005fuid":1,"events":[{}]}`, `1@1 {"\u0045vents":[{}]}`, `2@1 {"events\\":[{}]}`,
		}},
		{"no bundles", `{"events":{"events":[]}}{"x":"events","y":[]}{"x":{"events":[]}}{"class_uid":1,"events":[{}]}{"events":null}`, []string{
			`0@1 {"events":{"events":[]}}`, `1@1 {"x":"events","y":[]}`, `2@1 {"x":{"events":[]}}`, `3@1 {"class_uid":1,"events":[{}]}`, `4@1 {"events":null}`,
		}},

		{"text", "hello\n{}\nnull\n", []string{`0@1 ` + expect + `"hello"`, "1@2 {}", "2@3 null"}},
		{"broken values, in an array", `[nul,"a]`, []string{`0@1 ` + expect + `"nul"`, `1@1 ` + expect + `"\"a]"`, "-1@1 ! the list of events that begins on line 1 never ends: the input is cut off"}},
		{"long text", strings.Repeat("x", 99) + "\n{}", []string{`0@1 ` + expect + `"` + strings.Repeat("x", 40) + `"...`, "1@2 {}"}},
		{"hostile text", "\x1b[31m\xff\r\n{}", []string{`0@1 ` + expect + `"\x1b[31m\xff"`, "1@2 {}"}},
		{"lines with commas", "{},\n{},\n", []string{"0@1 {}", `-1@1 ` + behind + `","`, "1@2 {}", `-1@2 ` + behind + `","`}},
		{"what is no object, in an array", `[1,"a,\"]",{},true]{}`, []string{
			"0@1 1", `1@1 "a,\"]"`, "2@1 {}", "3@1 true", "4@1 {}",
		}},
		{"what is no object, at the top", "1 null \"a,\\\"]\"\n{} true{}-0.5", []string{"0@1 1", "1@1 null", `2@1 "a,\"]"`, "3@2 {}", "4@2 true", "5@2 {}", "6@2 -0.5"}},
		{"a value and text", "7 up\n{}", []string{"0@1 7", `-1@1 ` + behind + `"up"`, "1@2 {}"}},
		{"CSV", "time,tenant,kind,decision,operation,sentence\r\n2026-10-28,acme,outcome,allow,x,y\n", []string{"!! it is CSV, which does not hold events as they are stored"}},
		{"another's CSV", "\"Time\";\"Source IP\";message\n1;2;3\n", []string{"!! it is CSV, which does not hold events as they are stored"}},
		{"a line with commas", "started, ready, go!\n{}", []string{"0@1 " + expect + `"started, ready, go!"`, "1@2 {}"}},
		{"names of columns behind an event", "{}\na,b,c\n", []string{"0@1 {}", "1@2 " + expect + `"a,b,c"`}},
		{"a long value", `"` + strings.Repeat("x", excerptMax) + "\" 1\n{}", []string{`0@1 ` + expect + `"\"` + strings.Repeat("x", 39) + `"...`, "1@2 {}"}},
		{"binary", "SQLite format 3\x00\x10\n{}\n", []string{"!! it is binary, not JSON"}},
		{"binary, behind text", "\x7fELF\n?\x00\n{}\n", []string{`0@1 ` + expect + `"\x7fELF"`, "!! it is binary, not JSON"}},
		{"binary, in an array", "[1,\x00]", []string{"0@1 1", "!! it is binary, not JSON"}},
		{"zero bytes behind an event", "{}\n\x00\x00\n{}\n", []string{"0@1 {}", `1@2 ` + expect + `"\x00\x00"`, "2@3 {}"}},
		{"commas too many", "[,{},,{},]{}", []string{
			"-1@1 ! there is a comma too many", "0@1 {}", "-1@1 ! there is a comma too many", "1@1 {}",
			"-1@1 ! there is a comma too many before the end of the list", "2@1 {}",
		}},
		{"a comma too few", "[{}{}]{}", []string{"0@1 {}", "-1@1 ! there is no comma before it", "1@1 {}", "2@1 {}"}},

		{"cut in an event", `[{"a":1},{"b":[{"c`, []string{`0@1 {"a":1}`, "1@1 " + never}},
		{"cut in a list", "\n[{\"a\":1},\n{},", []string{`0@2 {"a":1}`, "1@3 {}", "-1@3 ! the list of events that begins on line 2 never ends: the input is cut off"}},
		{"cut in a bundle", `{"events":[{"a":1}`, []string{`0@1 {"a":1}`, "-1@1 ! the list of events that begins on line 1 never ends: the input is cut off"}},
		{"cut behind the events of a bundle", `{"events":[{"a":1}], "count`, []string{`0@1 {"a":1}`, "-1@1 " + never}},
		{"a line cut behind a value", "{\"a\":1\n{\"b\":2}\n{\"c\":3}", []string{"0@1 " + other, `1@2 {"b":2}`, `2@3 {"c":3}`}},
		{"a line cut behind a colon", "{\"a\":\n{\"b\":2}\n{\"c\":3}", []string{"0@1 " + other, `1@2 {"b":2}`, `2@3 {"c":3}`}},
		{"a line cut behind a comma", "{\"a\":[1,\n{\"b\":2}\n{\"c\":3}", []string{"0@1 " + other, `1@2 {"b":2}`, `2@3 {"c":3}`}},
		{"a line cut in a string", "{\"a\":\"x\n{\"b\":2}\n{\"c\":3}", []string{"0@1 " + quoted, `1@2 {"b":2}`, `2@3 {"c":3}`}},
		{"a line cut behind a backslash", "{\"a\":\"x\\\n{\"b\":2}\n{\"c\":3}", []string{"0@1 " + quoted, `1@2 {"b":2}`, `2@3 {"c":3}`}},
		{"a line cut at the end", "{\"a\":1}\n{\"b\":[\n{\"c\":3}", []string{`0@1 {"a":1}`, "1@2 " + never, `2@3 {"c":3}`}},
		{"a line that begins in the middle", "\":1}\n{\"b\":2}\n", []string{`0@1 ` + expect + `"\":1}"`, `1@2 {"b":2}`}},
		{"a line with a wrong bracket", "{\"a\":[}\n{\"b\":2}\n", []string{`0@1 ! '}' ends what begins with '['`, `1@2 {"b":2}`}},
		{"two such lines", "{\"a\":1\n{\"b\":[\n{\"c\":3}\n", []string{"0@1 " + other, "1@2 " + never, `2@3 {"c":3}`}},
		{"a laid out event cut off", "{\n  \"a\": {\n    \"b\": 1\n{\n  \"c\": 1\n}\n", []string{"0@1 " + other, "1@4 {\n  \"c\": 1\n}"}},
		{
			"a laid out array with a broken event", "[\n  {\n    \"a\": \"x\n    \"b\": [\n      {\n      }\n    ]\n  },\n  {\n    \"c\": 1\n  }\n]\n{}",
			[]string{"0@2 " + quoted, "1@9 {\n    \"c\": 1\n  }", "2@13 {}"},
		},
		{"an array, one event a line, one cut off", "[\n{\"a\":1},\n{\"b\":\n{\"c\":3}\n]\n{}", []string{`0@2 {"a":1}`, "1@3 ! ']' ends what begins with '{'", `2@4 {"c":3}`, "3@6 {}"}},
		{
			"bundles, one a line, one cut off", "{\"events\":[{\"a\":1},{\"b\"\n{\"events\":[{}]}\n",
			[]string{`0@1 {"a":1}`, "1@1 " + other, "2@2 {}", `2@2 bundle {"events":[]}`},
		},
		{
			"bundles, one a line, one cut off between", "{\"events\":[{\"a\":1},\n{\"events\":[{}]}\n{}\n",
			[]string{
				`0@1 {"a":1}`, "1@2 {}", `1@2 bundle {"events":[]}`, "-1@3 ! there is no comma before it", "2@3 {}",
				"-1@4 ! the list of events that begins on line 1 never ends: the input is cut off",
			},
		},
		{"a lost array", "[{\"a\":]},{}]\n{}", []string{"0@1 ! ']' ends what begins with '{'", "1@2 {}"}},
		{"too deep", "{\"a\":" + strings.Repeat("[", maxDepth) + "\n{}", []string{"0@1 ! the event nests deeper than 10000", "1@2 {}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, told(t, strings.NewReader(c.in), Options{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.want, told(t, iotest.OneByteReader(strings.NewReader(c.in)), Options{})); diff != "" {
				t.Errorf("byte by byte (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.want, told(t, iotest.DataErrReader(strings.NewReader(c.in)), Options{})); diff != "" {
				t.Errorf("with the end beside the data (-want +got)\n%s", diff)
			}
		})
	}
}

// What is too long is one fault; the rest is read.
func TestTooLong(t *testing.T) {
	o := Options{MaxEvent: 1 << 10}
	big := `{"a":"` + strings.Repeat("x", 2<<20) + `","b":[{"events":[` + "\n" + `{}]}]}`
	long := "! the event is longer than 1024 bytes"
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"just right", `{"a":"` + strings.Repeat("x", 1016) + `"}`, []string{`0@1 {"a":"` + strings.Repeat("x", 1016) + `"}`}},
		{"a byte more", `{"a":"` + strings.Repeat("x", 1017) + `"}{}`, []string{"0@1 " + long, "1@1 {}"}},
		{"in lines", "{}\n" + big + "\n{}", []string{"0@1 {}", "1@2 " + long, "2@4 {}"}},
		{"in an array", "[{}," + big + ",{}]{}", []string{"0@1 {}", "1@1 " + long, "2@2 {}", "3@2 {}"}},
		{"broken", "{\"a\":[" + strings.Repeat("\n{},", 1<<10) + "\n}\n{}", []string{"0@1 ! '}' ends what begins with '['", "1@1027 {}"}},
		{"broken by the next", "{\"a\":[" + strings.Repeat("\n{},", 1<<10) + "\n1\n{}\n{}", []string{"0@1 ! the event never ends: another one begins where it should go on", "1@1027 {}", "2@1028 {}"}},
		{"cut off", "{}\n{\"a\":\"" + strings.Repeat("x", 2<<20), []string{"0@1 {}", "1@2 ! the event never ends: the input is cut off"}},
		{"around a bundle", `{"events":[{}],"x":"` + strings.Repeat("x", 1<<10) + `"}{}`, []string{"0@1 {}", "-1@1 " + long, "1@1 {}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, told(t, strings.NewReader(c.in), o)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.want, told(t, iotest.OneByteReader(strings.NewReader(c.in)), o)); diff != "" {
				t.Errorf("byte by byte (-want +got)\n%s", diff)
			}
		})
	}
}

// An error of the input ends it, after all that came before it.
func TestReadError(t *testing.T) {
	for _, in := range []string{"{}\n{}\n", "{}\n{}\n{\"a\":1", "[{},\n{},\n", "{\"events\":[{},\n{}\n]"} {
		src := io.MultiReader(strings.NewReader(in), iotest.ErrReader(errors.New("disk gone")))
		got := told(t, src, Options{})
		if len(got) != 3 || got[1] != "1@2 {}" || got[2] != "!! from line 3 on: disk gone" {
			t.Errorf("of %q: %q", in, got)
		}
	}
}

// endless is a large array that is never there as a whole.
type endless struct {
	event []byte
	left  int // events
	rest  []byte
	began bool
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(e.rest) == 0 {
			switch {
			case !e.began:
				e.began, e.rest = true, append([]byte("["), e.event...)
			case e.left > 1:
				e.left--
				e.rest = append([]byte(",\n"), e.event...)
			case e.left == 1:
				e.left, e.rest = 0, []byte("]")
			default:
				return n, io.EOF
			}
		}
		k := copy(p[n:], e.rest)
		n, e.rest = n+k, e.rest[k:]
	}
	return n, nil
}

// The buffer does not grow with the input, and only as far as the limit with an
// event.
func TestConstantMemory(t *testing.T) {
	r := NewReader(&endless{event: []byte(`{"a":"` + strings.Repeat("x", 1000) + `"}`), left: 200_000}, Options{})
	n := 0
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(e.Data) != 1008 {
			t.Fatalf("event %d has %d bytes, %v", n, len(e.Data), err)
		}
		n++
	}
	if n != 200_000 || len(r.buf) > chunk {
		t.Errorf("%d events out of a buffer of %d bytes, want 200000 of %d", n, len(r.buf), chunk)
	}

	r = NewReader(&endless{event: []byte(`{"a":"` + strings.Repeat("x", 9<<20) + `"}`), left: 5}, Options{MaxEvent: 1 << 20})
	for n = 0; ; n++ {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var f *Fault
		if !errors.As(err, &f) {
			t.Errorf("of an event that is too long: %v", err)
		}
	}
	if n != 5 || len(r.buf) > 1<<20+chunk {
		t.Errorf("%d faults out of a buffer of %d bytes", n, len(r.buf))
	}
}
