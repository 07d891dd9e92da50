// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A token is taken when this server would give it, and only then.
func FuzzTokens(f *testing.F) {
	const question = "0123456789ab"
	for _, c := range []store.Cursor{{}, {Commit: 1}, {Commit: math.MaxUint64, Pos: math.MaxUint32}} {
		f.Add(pageToken(c, question))
	}
	for _, t := range []string{"", "x", "MS4y", "czEuMS4y=", "czEuMDEuMg", "czEuKzEuMg", "czEuLTEuMg", "czEuMS40Mjk0OTY3Mjk2"} {
		f.Add(t)
	}
	f.Fuzz(func(t *testing.T, token string) {
		var wrong *invalid
		switch c, err := parsePageToken(token, question); {
		case err == nil && pageToken(c, question) != token:
			t.Errorf("%q is taken for %+v, whose token is %q", token, c, pageToken(c, question))
		case err != nil && (!errors.As(err, &wrong) || wrong.field != "page_token"):
			t.Errorf("%q: %v", token, err)
		}
	})
}

// Every place has a token that leads back to it.
func FuzzCursors(f *testing.F) {
	f.Add(uint64(0), uint32(0))
	f.Add(uint64(math.MaxUint64), uint32(math.MaxUint32))
	f.Fuzz(func(t *testing.T, commit uint64, pos uint32) {
		c := store.Cursor{Commit: commit, Pos: pos}
		if got, err := parsePageToken(pageToken(c, "ab"), "ab"); err != nil || got != c {
			t.Errorf("page: %+v, %v", got, err)
		}
		if _, err := parsePageToken(pageToken(c, "ab"), "ac"); err == nil {
			t.Error("the page of another question is taken")
		}
	})
}

// What has no field that holds JSON is written as protobuf says, and read again
// it is the same message. What has one is JSON too, in one line, with that JSON
// as it is.
func FuzzJSON(f *testing.F) {
	add := func(m proto.Message, held string) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte(held))
	}
	add(&auditv1.StatsResponse{Events: math.MaxInt64, Facets: []*auditv1.Facet{{Name: "a b", Values: []*auditv1.Count{{Value: "\u2028\"\\\n\x00<", Events: -1}}}}}, `{"a b":[1, 2]}`)
	add(&auditv1.Operation{Uid: "é", Ran: true}, "{\n}")
	add(&auditv1.GetEventResponse{Commit: math.MaxUint64, Position: math.MaxUint32, StreamSequence: 1}, `"x"`)
	add(&auditv1.TailResponse{Item: &auditv1.TailResponse_Missed{Missed: &auditv1.Missed{Events: 1, Reason: "r"}}, ResumeToken: "t"}, "1e999")
	add(&auditv1.SearchEventsResponse{NextPageToken: "t"}, `[[],{"":""}]`)
	f.Fuzz(func(t *testing.T, wire, held []byte) {
		for _, m := range []proto.Message{new(auditv1.StatsResponse), new(auditv1.ListOperationsResponse), new(auditv1.Operation), new(auditv1.Missed), new(auditv1.TailRequest)} {
			if proto.Unmarshal(wire, m) != nil {
				continue
			}
			want, err := plain.Marshal(m)
			got, gotErr := appendJSON([]byte("before"), m.ProtoReflect())
			if (err == nil) != (gotErr == nil) {
				t.Fatalf("%v: %v, protojson %v", m, gotErr, err)
			}
			if err != nil {
				continue // a time that is none
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, want); err != nil || string(got) != "before"+compact.String() {
				t.Fatalf("%s, protojson %s, %v", got, compact.Bytes(), err)
			}
			again := m.ProtoReflect().New().Interface()
			if err := (protojson.UnmarshalOptions{}).Unmarshal(got[len("before"):], again); err != nil {
				t.Fatalf("%s: %v", got, err)
			}
		}
		if !json.Valid(held) {
			return
		}
		var one bytes.Buffer
		if err := json.Compact(&one, held); err != nil {
			t.Fatal(err)
		}
		page, event := new(auditv1.SearchEventsResponse), new(auditv1.GetEventResponse)
		tail, operation := new(auditv1.TailResponse), new(auditv1.GetOperationResponse)
		for _, m := range []proto.Message{page, event, tail, operation} {
			if proto.Unmarshal(wire, m) != nil {
				proto.Reset(m)
			}
		}
		page.Events, event.Event = [][]byte{held, held}, held
		tail.Item, operation.Moments = &auditv1.TailResponse_Event{Event: held}, []*auditv1.Moment{{Event: held, Sentence: "a b"}}
		for _, m := range []proto.Message{page, event, tail, operation} {
			got, err := appendJSON(nil, m.ProtoReflect())
			if err != nil {
				if event.GetStoredTime().CheckValid() == nil && operation.GetOperation().GetTime().CheckValid() == nil && operation.GetOperation().GetDuration().CheckValid() == nil {
					t.Fatalf("%v: %v", m, err)
				}
				continue
			}
			if !json.Valid(got) || bytes.ContainsAny(got, "\n\r") || !bytes.Contains(got, one.Bytes()) {
				t.Fatalf("%s does not hold %s in a line of JSON", got, one.Bytes())
			}
			// Beside what holds JSON it is the JSON of protobuf.
			var members map[string]json.RawMessage
			if err := json.Unmarshal(got, &members); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"event", "events", "moments"} {
				delete(members, name)
			}
			b, err := json.Marshal(members)
			if err != nil {
				t.Fatal(err)
			}
			if err := protojson.Unmarshal(b, m.ProtoReflect().New().Interface()); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
		}
	})
}
