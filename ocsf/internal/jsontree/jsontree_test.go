// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct {
		text   string
		offset int64
		reason string
	}{
		{``, 0, "value expected, but the text ends"},
		{` `, 1, "value expected, but the text ends"},
		{`x`, 0, "value expected"},
		{"\ufeff{}", 0, "value expected"},
		{`tru`, 0, "true, false or null expected"},
		{`nulL`, 0, "true, false or null expected"},
		{`{} {}`, 3, "nothing more expected after the value"},
		{`[1 2]`, 3, "comma or closing bracket expected"},
		{`[1`, 2, "comma or closing bracket expected"},
		{`[1,]`, 3, "value expected"},
		{`[`, 1, "value expected, but the text ends"},
		{`{`, 1, "name of a member expected"},
		{`{a:1}`, 1, "name of a member expected"},
		{`{"a":1,}`, 7, "name of a member expected"},
		{`{"a" 1}`, 5, "colon expected"},
		{`{"a":1 "b"`, 7, "comma or closing brace expected"},
		{`{"a`, 3, "closing quote expected, but the text ends"},
		{`-`, 1, "digit expected"},
		{`01`, 1, "nothing more expected after the value"},
		{`+1`, 0, "value expected"},
		{`.5`, 0, "value expected"},
		{`1.`, 2, "digit expected"},
		{`1.e1`, 2, "digit expected"},
		{`1e+`, 3, "digit expected"},
		{`[1e309]`, 1, "number beyond 64-bit floating point"},
		{`-17.9769313486231581e307`, 0, "number beyond 64-bit floating point"},
		{`1` + strings.Repeat("0", 309) + `.0`, 0, "number beyond 64-bit floating point"},
		{`"a`, 2, "closing quote expected, but the text ends"},
		{"\"a\n\"", 2, "control character in a string"},
		{"\"0123456789\x00\"", 11, "control character in a string"},
		{"\"a\\tb\n\"", 5, "control character in a string"},
		{`"\`, 2, "escape expected, but the text ends"},
		{`"\x"`, 1, "unknown escape"},
		{`"\u12g4"`, 1, `four hexadecimal digits expected after \u`},
		{`"\u12`, 1, `four hexadecimal digits expected after \u`},
		{`"\ud800"`, 1, "half of a surrogate pair"},
		{`"\udc00\ud800"`, 1, "half of a surrogate pair"},
		{`"\ud800\n"`, 1, "half of a surrogate pair"},
		{"\"a\xff\"", 2, "invalid UTF-8"},
		{"\"\xed\xa0\x80\"", 1, "invalid UTF-8"},
		{strings.Repeat(`[`, MaxDepth+1), MaxDepth, "nested too deeply"},
		{strings.Repeat(`{"":`, MaxDepth+1), MaxDepth * 4, "nested too deeply"},
	} {
		var tree Tree
		var syntax *SyntaxError
		if err := tree.Parse([]byte(tt.text)); !errors.As(err, &syntax) {
			t.Errorf("%.40q: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(&SyntaxError{Offset: tt.offset, Reason: tt.reason}, syntax); diff != "" {
			t.Errorf("%.40q (-want +got):\n%s", tt.text, diff)
		}
	}
	var tree Tree
	if err := tree.Parse([]byte(strings.Repeat(`[`, MaxDepth) + strings.Repeat(`]`, MaxDepth))); err != nil {
		t.Errorf("as deep as allowed: %v", err)
	}
	for _, text := range []string{`1.7976931348623157e308`, `1e-999`, `0e999`, `1` + strings.Repeat("0", 308) + `.0`, `1` + strings.Repeat("0", 999)} {
		if err := tree.Parse([]byte(text)); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	err := tree.Parse([]byte(`{"a":}`))
	if got, want := err.Error(), "invalid JSON at byte 5: value expected"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTree(t *testing.T) {
	var tree Tree
	text := `{"a":[1,-0,1.0,1e3,{}],"b\u00e9":"x\ny","c":null,"d":true,"e":false,"a":[],"f":{"g":"h"}}`
	// Twice, because the second time finds what the first has left.
	for range 2 {
		if err := tree.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for m := tree.First(tree.Root()); m != 0; m = tree.Next(m) {
		got = append(got, string(tree.Key(m))+" is "+tree.Kind(m).String()+": "+string(tree.Text(m)))
		for e := tree.First(m); e != 0; e = tree.Next(e) {
			got = append(got, tree.Kind(e).String()+": "+string(tree.Text(e)))
		}
	}
	want := []string{
		`a is an array: [1,-0,1.0,1e3,{}]`,
		`an integer: 1`, `an integer: -0`,
		`a number with a fraction or an exponent: 1.0`, `a number with a fraction or an exponent: 1e3`,
		`an object: {}`,
		"bé is a string: x\ny", `c is null: null`, `d is a boolean: true`, `e is a boolean: false`,
		`a is an array: []`, `f is an object: {"g":"h"}`, `a string: h`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if a := tree.Find(tree.Root(), "a"); tree.First(a) == 0 {
		t.Errorf("found the second of two members: %s", tree.Text(a))
	}
	if n := tree.Find(tree.Root(), "none"); n != 0 {
		t.Errorf("found %d", n)
	}
	if n := tree.Find(tree.Find(tree.Root(), "b\u00e9"), "x"); n != 0 {
		t.Errorf("found %d in a string", n)
	}
}

// value makes of n what encoding/json makes of it.
func value(t *Tree, n Node) any {
	switch t.Kind(n) {
	case Null:
		return nil
	case False, True:
		return t.Kind(n) == True
	case Integer, Decimal:
		return json.Number(t.Text(n))
	case String:
		return string(t.Text(n))
	case Array:
		list := []any{}
		for e := t.First(n); e != 0; e = t.Next(e) {
			list = append(list, value(t, e))
		}
		return list
	case Object:
		object := map[string]any{}
		for e := t.First(n); e != 0; e = t.Next(e) {
			if key, kind, length, next := t.Member(e); !bytes.Equal(key, t.Key(e)) || kind != t.Kind(e) || length != len(t.Text(e)) || length != t.Len(e) || next != t.Next(e) {
				panic("Member differs from Key, Kind, Len or Next")
			}
			object[string(t.Key(e))] = value(t, e)
		}
		return object
	}
	panic("no such kind")
}

var numbers = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?`)

// FuzzParse compares with two other parsers: a strict one says what is JSON,
// and a lenient one says what it means.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"a":[1,-0,1.0,1e3,{}],"b\u00e9":"x\ny\"\\\/\b\f\r\t","c":null}`, ` [true , false ] `,
		`"\ud83d\ude00"`, `"\ud83d"`, "\"\xff\"", `{"a":1,"a":2}`, `123456789012345678901234567890`, `"12345678\u0000"`, `"1234567`, `[1e308,1e309]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var tree Tree
		err := tree.Parse(text)
		dec := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true))
		depth := 0
		var strict error
		for strict == nil {
			if _, strict = dec.ReadToken(); strict == nil {
				depth = max(depth, dec.StackDepth())
			}
			if strict == nil && dec.StackDepth() == 0 {
				if _, strict = dec.ReadToken(); errors.Is(strict, io.EOF) {
					strict = nil
					break
				} else if strict == nil {
					strict = errors.New("more than one value")
				}
			}
		}
		var syntax *SyntaxError
		if errors.As(err, &syntax) && strings.HasPrefix(syntax.Reason, "number") {
			token := numbers.Find(text[syntax.Offset:])
			if v, err := strconv.ParseFloat(string(token), 64); err == nil {
				t.Fatalf("refused %s, which is %v", token, v)
			}
			return // the other parsers read it
		}
		if depth <= MaxDepth && (err == nil) != (strict == nil) {
			t.Fatalf("we say %v, the other parser %v", err, strict)
		}
		if err != nil {
			return
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		for _, n := range tree.nodes {
			if n.kind == Decimal {
				if _, err := strconv.ParseFloat(string(tree.data[n.start:n.end]), 64); err != nil {
					t.Error(err)
				}
			}
		}
		if diff := cmp.Diff(want, value(&tree, tree.Root())); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
