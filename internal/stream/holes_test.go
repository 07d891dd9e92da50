// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The subject is a contract with those who write NATS permissions.
func TestHolesSubject(t *testing.T) {
	if got := HolesSubject("gateway-0"); got != "docket.control.gateway-0.holes" {
		t.Errorf("subject %q", got)
	}
	if covered(Declared().Stream.Subjects, HolesSubject("gateway-0")) {
		t.Error("the declared stream stores questions")
	}
}

const epochA, epochB = "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e", "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9f"

func TestQuestions(t *testing.T) {
	q := Question{Ranges: []Range{{epochA, 3, 9}, {epochB, 1, 1}}}
	b, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"ranges":[{"epoch":"` + epochA + `","first":3,"last":9},{"epoch":"` + epochB + `","first":1,"last":1}]}`; string(b) != want {
		t.Errorf("wire form\n%s, want\n%s", b, want)
	}
	got, err := ParseQuestion(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, got); diff != "" {
		t.Errorf("question (-want +got):\n%s", diff)
	}
	one := `{"epoch":"` + epochA + `","first":1,"last":1}`
	for name, bad := range map[string]string{
		"no JSON":      "x",
		"nothing":      `{}`,
		"zero":         strings.ReplaceAll(`{"ranges":[`+one+`]}`, `"first":1`, `"first":0`),
		"backwards":    strings.ReplaceAll(`{"ranges":[`+one+`]}`, `"first":1`, `"first":2`),
		"no number":    strings.ReplaceAll(`{"ranges":[`+one+`]}`, `"last":1`, `"last":1e40`),
		"too large":    strings.ReplaceAll(`{"ranges":[`+one+`]}`, `"last":1`, fmt.Sprintf(`"last":%d`, maxSequence+1)),
		"no epoch":     strings.ReplaceAll(`{"ranges":[`+one+`]}`, epochA, ""),
		"a subject":    strings.ReplaceAll(`{"ranges":[`+one+`]}`, epochA, "a.>"),
		"too many":     `{"ranges":[` + strings.Repeat(one+",", MaxRanges) + one + `]}`,
		"too long":     strings.Repeat(" ", maxQuestion+1),
		"other object": `{"type":"io.nats.jetstream.api.v1.pub_ack_response","stream":"DOCKET","seq":7}`,
	} {
		if q, err := ParseQuestion([]byte(bad)); !errors.Is(err, ErrControl) {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	asked := Question{Ranges: []Range{{epochA, 3, 9}, {epochB, 1, 4}}}
	a := Answer{Ranges: []Answered{
		{Range{epochA, 3, 5}, AnswerResent, ""}, {Range{epochA, 6, 9}, AnswerGone, "trimmed"}, {Range{epochB, 1, 4}, AnswerNotMine, ""},
	}}
	b, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseAnswer(b, asked)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	of := func(parts ...Answered) Answer { return Answer{Ranges: parts} }
	for name, bad := range map[string]Answer{
		"nothing":            {},
		"another epoch":      of(Answered{Range{"0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d90", 3, 5}, AnswerGone, ""}),
		"more than that":     of(Answered{Range{epochA, 3, 10}, AnswerGone, ""}),
		"before that":        of(Answered{Range{epochA, 2, 5}, AnswerGone, ""}),
		"another word":       of(Answered{Range{epochA, 3, 5}, "maybe", ""}),
		"overlapping":        of(Answered{Range{epochA, 3, 5}, AnswerGone, ""}, Answered{Range{epochA, 5, 6}, AnswerResent, ""}),
		"overlapping, apart": of(Answered{Range{epochA, 4, 5}, AnswerGone, ""}, Answered{Range{epochB, 1, 4}, AnswerGone, ""}, Answered{Range{epochA, 3, 4}, AnswerGone, ""}),
		"backwards":          of(Answered{Range{epochA, 5, 3}, AnswerGone, ""}),
	} {
		b, err := bad.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if a, err := ParseAnswer(b, asked); !errors.Is(err, ErrControl) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	long := of(Answered{Range{epochA, 3, 5}, AnswerGone, strings.Repeat("ä", maxWhy)})
	if b, err = long.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseAnswer(b, asked); err != nil {
		t.Errorf("a long reason is not cut: %v", err)
	}
}

func FuzzControl(f *testing.F) {
	f.Add([]byte(`{"ranges":[{"epoch":"e","first":1,"last":2,"answer":"gone","why":"trimmed"}]}`))
	asked := Question{Ranges: []Range{{"e", 1, 5}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := ParseQuestion(b); err == nil {
			for _, r := range q.Ranges {
				if r.Len() < 1 {
					t.Errorf("range %+v", r)
				}
			}
		}
		if a, err := ParseAnswer(b, asked); err == nil {
			for _, r := range a.Ranges {
				if r.Epoch != "e" || r.First < 1 || r.Last > 5 {
					t.Errorf("range %+v was not asked for", r)
				}
			}
		}
	})
}
