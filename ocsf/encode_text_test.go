// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/docket-audit/docket/ocsf"
)

// canonicalText is a string in canonical JSON, one character after the other.
func canonicalText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case strings.ContainsRune("\"\\", r):
			b.WriteString(`\` + string(r))
		case r < ' ' && strings.ContainsRune("\b\f\n\r\t", r):
			b.WriteString(map[rune]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}[r])
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Texts of all lengths, with each kind of byte in each place, in an attribute,
// in a list and in a free-form value.
func TestTexts(t *testing.T) {
	kinds := []string{" ", "!", "#", "[", "]", "\x7f", "~", `"`, `\`, "\x00", "\x1f", "\n", "\b", "\x80", "\xff", "é", "€", "😀"}
	for length := range 70 {
		for at := range length + 1 {
			for _, kind := range kinds {
				s := strings.Repeat("x", at) + kind + strings.Repeat("y", length-at)
				e := &ocsf.APIActivity{Base: ocsf.Base{
					Verbatim: true, Message: s, Metadata: ocsf.Metadata{Labels: []string{s}}, Unmapped: map[string]any{"a": s},
				}}
				got, err := ocsf.Append(make([]byte, 0, 1024), e)
				if kind == "\x80" || kind == "\xff" {
					if err == nil {
						t.Fatalf("%q: no error", s)
					}
					continue
				}
				text := canonicalText(s)
				want := `{"message":` + text + `,"metadata":{"labels":[` + text + `]},"unmapped":{"a":` + text + `}}`
				if err != nil || string(got) != want {
					t.Fatalf("%q:\ngot  %s, %v\nwant %s", s, got, err, want)
				}
			}
		}
	}
}

// However much room there is behind dst, the bytes are the same, those before
// stay, and with enough room nothing is allocated.
func TestAppendFitsAnyRoom(t *testing.T) {
	e := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		Base: ocsf.Base{
			Time: 1793215000100, Message: "seven \"words\" and one of many more letters", Count: new(int64(40404)),
			Metadata:    ocsf.Metadata{Product: &ocsf.Product{Name: "gateway"}, Labels: []string{"a", "a text of more than sixteen bytes"}},
			Extra:       ocsf.Extra{{Name: "zzz", Value: ocsf.Raw("1")}, {Name: "mine", Value: ocsf.Raw(`"x"`)}, {Name: "aaa", Value: ocsf.Raw("{}")}},
			Enrichments: []ocsf.Enrichment{{Name: "n", Extra: ocsf.Extra{{Name: "b", Value: ocsf.Raw("2")}}}, {}},
		},
	}
	want, err := ocsf.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(want) {
		t.Fatalf("no JSON: %s", want)
	}
	const before = "before"
	for room := range len(want) + 200 {
		dst := append(make([]byte, 0, len(before)+room), before...)
		got, err := ocsf.Append(dst, e)
		if err != nil || string(got) != before+string(want) {
			t.Fatalf("room %d:\ngot  %s, %v\nwant %s", room, got, err, want)
		}
		if inPlace := &got[0] == &dst[0]; inPlace != (room >= len(want)) {
			t.Errorf("room %d of %d: in place: %v", room, len(want), inPlace)
		}
	}
}

// Integers of all lengths, around each power of two and of ten.
func TestIntegers(t *testing.T) {
	values := []int64{0, math.MaxInt64, math.MinInt64}
	for p := int64(1); p > 0 && p < math.MaxInt64/10; p *= 10 {
		values = append(values, p-1, p, p+1, 7*p+p/3, -p)
	}
	for shift := range 63 {
		values = append(values, 1<<shift-1, 1<<shift, 1<<shift+1, -1<<shift)
	}
	e := &ocsf.APIActivity{Base: ocsf.Base{Verbatim: true}}
	buf := make([]byte, 0, 256)
	for _, v := range values {
		e.Count = &v
		want := `{"count":` + strconv.FormatInt(v, 10) + `}`
		if got, err := ocsf.Append(buf, e); err != nil || string(got) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
		if got, err := ocsf.AppendCanonical(buf, e); err == nil && string(got) != want || err != nil && -1<<53 <= v && v <= 1<<53 {
			t.Errorf("canonical: got %s, %v; want %s", got, err, want)
		}
	}
}

// After an error an encoder is as good as new.
func TestEncodeAfterError(t *testing.T) {
	good := &ocsf.APIActivity{Base: ocsf.Base{Time: 1}}
	want, err := ocsf.Encode(good)
	if err != nil {
		t.Fatal(err)
	}
	loop := &ocsf.Process{Extra: ocsf.Extra{{Name: "b", Value: ocsf.Raw("1")}}}
	loop.ParentProcess = loop
	for _, bad := range []ocsf.Event{
		&ocsf.APIActivity{Base: ocsf.Base{Actor: &ocsf.Actor{Process: loop}}},
		&ocsf.APIActivity{Base: ocsf.Base{Message: "\xff", Extra: ocsf.Extra{{Name: "zzz", Value: ocsf.Raw("1")}}}},
		&ocsf.APIActivity{Base: ocsf.Base{Metadata: ocsf.Metadata{Version: "9.9.9"}}},
	} {
		if _, err := ocsf.Encode(bad); err == nil {
			t.Error("no error")
		}
		if got, err := ocsf.Encode(good); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after it: %s, %v; want %s", got, err, want)
		}
	}
}
