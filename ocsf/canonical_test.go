// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf"
)

func TestCanonicalize(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` { "b" : 1 , "a" : [ 1.0 , 1e2, -0, 0.1 ] } `, `{"a":[1,100,0,0.1],"b":1}`},
		{`"\u0041\/\u00e9\u001f\ud83d\ude00"`, `"A/é\u001f😀"`},
		{`9007199254740992`, `9007199254740992`},
		{`-9007199254740992`, `-9007199254740992`},
		{`1152921504606847000`, `1152921504606847000`}, // 2^60 as RFC 8785 writes it
		{`100000000000000000000`, `100000000000000000000`},
		{`["\"9007199254740993"]`, `["\"9007199254740993"]`},
		{strings.Repeat("[", ocsf.MaxDepth) + strings.Repeat("]", ocsf.MaxDepth), strings.Repeat("[", ocsf.MaxDepth) + strings.Repeat("]", ocsf.MaxDepth)},
	} {
		got, err := ocsf.Canonicalize([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("Canonicalize(%.80s) = %.80s, %v; want %.80s", c.in, got, err, c.want)
		}
	}
	var (
		inexact *ocsf.InexactError
		syntax  *ocsf.SyntaxError
	)
	for _, in := range []string{`1E400`, `1152921504606846976`, `9007199254740993`, `-9007199254740993`, `["\\",9007199254740993]`} {
		if got, err := ocsf.Canonicalize([]byte(in)); !errors.As(err, &inexact) || inexact.Hint() == "" {
			t.Errorf("Canonicalize(%s) = %s, %v; want an InexactError", in, got, err)
		}
	}
	for _, in := range []string{`{"a":1,"a":1}`, "\"\xff\"", ``, `1 2`, `{`, `"\ud800"`, `nul`, `01`, `NaN`, `[1,]`} {
		if got, err := ocsf.Canonicalize([]byte(in)); !errors.As(err, &syntax) {
			t.Errorf("Canonicalize(%s) = %s, %v; want a SyntaxError", in, got, err)
		}
	}
	if _, err := ocsf.Canonicalize(bytes.Repeat([]byte("["), 1<<20)); !errors.Is(err, ocsf.ErrDepth) {
		t.Errorf("a depth bomb: %v", err)
	}
}

// values generates JSON values with text and numbers that need care.
func values(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		texts().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil), rapid.Float64().AsAny(),
		rapid.Int64Range(-1<<53, 1<<53).AsAny(), rapid.Float64Range(-1e-5, 1e-5).AsAny(),
	}
	if depth > 0 {
		leaves = append(leaves,
			rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(values(depth-1), 0, 4).Draw(t, "array") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(texts(), values(depth-1), 0, 4).Draw(t, "object") }))
	}
	return rapid.OneOf(leaves...)
}

func texts() *rapid.Generator[string] {
	return rapid.StringOf(rapid.RuneFrom([]rune("abcdefgh\"\\/\b\f\n\r\t\x00\x1f\x7f é€\u2028\uFB33\U0001F600")))
}

// TestCanonicalizeOracle compares our canonical form with an independent implementation.
func TestCanonicalizeOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "value")
		in, err := json.Marshal(v)
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
		want, err := jcs.Transform(slices.Concat([]byte{'['}, in, []byte{']'}))
		if err != nil {
			t.Fatal(err)
		}
		if w := strings.TrimSuffix(strings.TrimPrefix(string(want), "["), "]"); w != string(got) {
			t.Fatalf("Canonicalize(%s)\n got %s\nwant %s", in, got, w)
		}
		if direct, err := ocsf.EncodeValue(v); err != nil || !bytes.Equal(direct, got) {
			t.Fatalf("EncodeValue, %v\n got %s\nwant %s", err, direct, got)
		}
	})
}

// TestEncodeOracle compares the encoder with the plain way: encoding/json and
// then the canonical form of what it wrote.
func TestEncodeOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := sample()
		e.Verbatim = true // encoding/json derives nothing
		e.Message, e.StatusDetail = texts().Draw(t, "message"), texts().Draw(t, "detail")
		e.Time = rapid.Int64Range(1, 1<<53).Draw(t, "time")
		e.ClassUID, e.CategoryUID, e.TypeUID, e.Metadata.Version = 6003, 6, 600301, "1.8.0"
		e.API.Request.Data = rapid.OneOf(
			values(2), rapid.Just[any]([]any{}), rapid.Just[any](map[string]any{}), rapid.Int32().AsAny(),
			rapid.MapOf(texts(), texts()).AsAny(), rapid.SliceOf(texts()).AsAny(), rapid.SliceOf(rapid.Int16()).AsAny(), rapid.MapOf(texts(), rapid.Float32()).AsAny(),
			rapid.Just[any](ocsf.Canonical(`{"a":[1,"x"]}`)), rapid.Just[any](ocsf.Canonical(`{}`)), rapid.Just[any](json.RawMessage(`{"b":1, "a":1e2}`)),
			rapid.Just[any](ocsf.Raw(` {"b" : 1.0}`)), rapid.Just[any](json.Number("1.50")),
		).Filter(func(v any) bool { return v != nil }).Draw(t, "data")
		if l := rapid.SliceOf(texts()).Draw(t, "labels"); len(l) > 0 {
			e.Metadata.Labels = l
		}
		if m := rapid.MapOf(texts(), values(1)).Draw(t, "unmapped"); len(m) > 0 {
			e.Unmapped = m
		}
		got, err := ocsf.AppendCanonical(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		e.SrcEndpoint.Location = nil
		plain, err := json.Marshal(e)
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

// TestOrder compares the order of names with that of their UTF-16 code units.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.String(), rapid.ID[string]).Draw(t, "names")
		m := make(map[string]any, len(names))
		for _, n := range names {
			m[n] = n
		}
		b, err := ocsf.EncodeValue(m)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(names, func(x, y string) int { return slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y))) })
		d := json.NewDecoder(bytes.NewReader(b))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		for _, want := range names {
			name, err := d.Token()
			if err != nil || name != want {
				t.Fatalf("%q, %v; want %q", name, err, want)
			}
			if _, err := d.Token(); err != nil {
				t.Fatal(err)
			}
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
