// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// evaluated returns the facts of one evaluation that was shown a payload.
func evaluated(t testing.TB, payload map[string]any) (*interceptor.Operation, interceptor.Fact) {
	t.Helper()
	op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing", Request: object(t, payload)}
	return op, interceptor.Fact{Evaluation: &interceptor.Evaluation{
		UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Count: 1, Payload: interceptor.NewPayload(op.Request),
	}}
}

// TestCredentialsInAnyDress records attributes that hold credentials under the
// names that headers may have: none is recorded, and each is counted.
func TestCredentialsInAnyDress(t *testing.T) {
	names := []string{
		"authorization", "Authorization", "AUTHORIZATION", "request.headers.Authorization", "Request.Headers.authorization", "proxy_authorization",
		"Cookie", "set-cookie", "request.headers.cookie", "X-Api-Key", "x_api_key", "x-apikey-2", "x-auth-token", "X_Auth_Token",
		"token", "x-jwt-assertion", "grpcgateway-authorization", "x-authorization", "cookie2", "x-password", "client_secret", "authorization-bin", "request.headers.x-auth-token-bin", "cookie-bin", "Proxy-Authorization-Bin",
	}
	op, facts := everywhere(t, sibling)
	op.Attributes = map[string]string{"user_agent": sibling}
	for _, name := range names {
		op.Attributes[name] = canary + "\xff\x00"
	}
	events := recorded(t, "1.8.0", nil, nil, op, facts[3])
	if strings.Contains(events[0], canary) || !strings.Contains(events[0], fmt.Sprintf(`"n":%d,"rule":"credentials"`, len(names))) {
		t.Errorf("event: %s", events[0])
	}
}

// TestHeadersInAnyCase lets rules for headers find them however they are written,
// and whatever bytes are in them.
func TestHeadersInAnyCase(t *testing.T) {
	for _, do := range []string{activity.RedactDrop, activity.RedactMask, activity.RedactHMAC} {
		r := redactor(t, activity.Rule{Name: "h", Headers: []string{"X-Note", "request.headers.X-TRACE-bin"}, Do: do})
		op, facts := everywhere(t, sibling)
		op.Attributes = map[string]string{}
		for _, name := range []string{"x-note", "X-NOTE", "request.headers.x-note", "Request.Headers.X-Note", "request.headers.x-trace-bin", "Request.headers.X-Trace-Bin"} {
			op.Attributes[name] = "\xff\xfe" + canary + "\x00"
		}
		op.Attributes["request.headers.x-notes"] = sibling
		events := recorded(t, "1.9.0", r, nil, op, facts[3])
		if strings.Contains(events[0], canary) || !strings.Contains(events[0], `"request.headers.x-notes":"`+sibling) {
			t.Errorf("%s: %s", do, events[0])
		}
		if want := fmt.Sprintf(`"redacted":{"%s":6}`, do); !strings.Contains(events[0], want) {
			t.Errorf("%s: no %s in %s", do, want, events[0])
		}
	}
}

// TestHostileRules applies rules that match in odd ways to odd payloads: what they
// find is in no event, which says what was left out.
func TestHostileRules(t *testing.T) {
	nested := any(canary)
	for range 60 {
		nested = []any{nested}
	}
	for name, c := range map[string]struct {
		rule    activity.Rule
		payload map[string]any
		left    string // that the event still has
	}{
		"a word boundary, which is empty": {activity.Rule{Regex: `\bcanary-\d+\b|\b`}, map[string]any{"a": canary, "b": " . "}, ``},
		"optional to the end":             {activity.Rule{Regex: `(canary-4711)?$`}, map[string]any{"a": canary}, ``},
		"any text":                        {activity.Rule{Regex: `.+`}, map[string]any{"a": canary, canary: "b", "n": 4711.0}, ``},
		"into a list":                     {activity.Rule{Pointers: []string{"/list/1", "/list/3/k"}}, map[string]any{"list": []any{sibling, canary, 1.0, map[string]any{"k": canary}}}, sibling},
		"into lists of lists":             {activity.Rule{Pointers: []string{"/list/*/*"}}, map[string]any{"list": []any{[]any{canary, canary}, []any{}, sibling}}, sibling},
		"beyond a list":                   {activity.Rule{Pointers: []string{"/list/9", "/list/-1", "/list/x"}}, map[string]any{"list": []any{sibling}}, sibling},
		"names with slashes and tildes":   {activity.Rule{Pointers: []string{"/a~1b/~0c"}}, map[string]any{"a/b": map[string]any{"~c": canary, "c": sibling}}, sibling},
		"an empty name":                   {activity.Rule{Pointers: []string{"/"}}, map[string]any{"": canary, "b": sibling}, sibling},
		"deep":                            {activity.Rule{Regex: canary}, map[string]any{"a": nested}, ``},
		"large":                           {activity.Rule{Regex: canary}, map[string]any{"a": strings.Repeat("x", 200<<10) + canary + strings.Repeat("y", 200<<10)}, "_digest"},
		"many":                            {activity.Rule{Regex: canary}, map[string]any{"a": strings.Repeat(canary, 1000)}, ``},
		"dropped into being":              {activity.Rule{Regex: canary}, map[string]any{"a": strings.Repeat("canary-", 20) + canary + strings.Repeat("4711", 20)}, ``},
	} {
		for _, do := range []string{activity.RedactDrop, activity.RedactMask, activity.RedactHMAC} {
			rule := c.rule
			rule.Name, rule.Do = "r", do
			r, err := activity.NewRedactor([]activity.Rule{rule}, redactKey)
			if err != nil {
				if strings.Contains(err.Error(), "matches the empty text") {
					continue // refused, as it should be
				}
				t.Fatal(err)
			}
			op, f := evaluated(t, c.payload)
			events := recorded(t, "1.8.0", r, nil, op, f)
			if raw := events[0]; strings.Contains(raw, canary) || !strings.Contains(raw, c.left) || strings.Contains(raw, `"broken"`) {
				t.Errorf("%s, %s: %.2000s", name, do, raw)
			}
			if found := name != "beyond a list"; found != strings.Contains(events[0], `"redacted":{"`+do+`":`) {
				t.Errorf("%s, %s: %.2000s", name, do, events[0])
			}
		}
	}
}

// TestEachValueIsCounted leaves out one text often: the event says how often.
func TestEachValueIsCounted(t *testing.T) {
	op, f := evaluated(t, map[string]any{"a": strings.Repeat(canary+" ", 700), "b": canary})
	events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Regex: canary, Do: activity.RedactMask}), nil, op, f)
	for _, want := range []string{`"redacted":{"mask":701}`, `"n":700,"pointer":"/a"`, `"n":1,"pointer":"/b"`} {
		if !strings.Contains(events[0], want) {
			t.Errorf("no %s in %s", want, events[0])
		}
	}
}

// TestNamesThatBecomeOne masks names of members until they are the same: each keeps
// its value.
func TestNamesThatBecomeOne(t *testing.T) {
	op, f := evaluated(t, map[string]any{canary + "1": "one", canary + "2": "two", canary + "3": "three"})
	events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Regex: canary + `\d`, Do: activity.RedactMask}), nil, op, f)
	if want := `{"***":"one","***-2":"two","***-3":"three"}`; !strings.Contains(events[0], want) {
		t.Errorf("no %s in %s", want, events[0])
	}
}

// TestManyNamesThatBecomeOne is a request that was made to be slow: its thousands
// of names are written in one pass, none of them longer than it must be.
func TestManyNamesThatBecomeOne(t *testing.T) {
	const many = 8_000
	m := map[string]any{"***-3": "was there"}
	for i := range many {
		m[canary+strconv.Itoa(i)] = i
	}
	op, f := evaluated(t, m)
	events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Regex: canary + `\d+`, Do: activity.RedactMask}), nil, op, f)
	if n := strings.Count(events[0], `"***-`); n != many || strings.Contains(events[0], "****") || !strings.Contains(events[0], `"***-3":"was there"`) || !strings.Contains(events[0], `"***-8001":`) {
		t.Errorf("%d names in %.300s", n, events[0])
	}
}

// TestPlacesInWhatIsNotRecorded keeps a digest of a payload: what was left out of
// it is counted, and not placed, for a place is made of names of members.
func TestPlacesInWhatIsNotRecorded(t *testing.T) {
	for name, b := range map[string]*interceptor.Binding{
		"digest": {Interceptor: "i", ID: "b", Capture: interceptor.CaptureDigest}, "too large": {Interceptor: "i", ID: "b", CaptureMax: 1},
	} {
		op, f := evaluated(t, map[string]any{"customers": map[string]any{"jane@example.com": map[string]any{"pin": "1234"}, "joe@example.com": map[string]any{"pin": "5678"}}})
		f.Binding = b
		events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Regex: `^\d{4}$`, Do: activity.RedactMask}), nil, op, f)
		if strings.Contains(events[0], "example.com") || !strings.Contains(events[0], `{"at":"proposed_operation","do":"mask","n":2,"rule":"r"}`) {
			t.Errorf("%s: %s", name, events[0])
		}
	}
}

// TestTheEndOfAList adds an item at the end of a list, wherever that is: a rule for
// any place in it may be for this one.
func TestTheEndOfAList(t *testing.T) {
	op, f := evaluated(t, map[string]any{"items": []any{}})
	f.Result = &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/items/-", Value: []byte(`{"k":"` + canary + `"}`)}}}
	events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Pointers: []string{"/items/0/k"}, Do: activity.RedactMask}), nil, op, f)
	if strings.Contains(events[0], canary) {
		t.Errorf("event: %s", events[0])
	}
}

// TestDigestsAreOfWhatIsWritten takes the digest of a payload after it was redacted:
// that of the original would let anyone who guesses it be sure.
func TestDigestsAreOfWhatIsWritten(t *testing.T) {
	digests := map[string]bool{}
	for _, secret := range []string{canary, "another"} {
		op, f := evaluated(t, map[string]any{"a": secret})
		f.Binding = &interceptor.Binding{Interceptor: "i", ID: "b", Capture: interceptor.CaptureDigest}
		events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Pointers: []string{"/a"}, Do: activity.RedactMask}), nil, op, f)
		r, err := activity.Read([]byte(events[0]))
		if err != nil || !r.Redacted {
			t.Fatalf("%+v, %v", r, err)
		}
		_, after, _ := strings.Cut(events[0], `"proposed_operation_digest":"`)
		digest, _, _ := strings.Cut(after, `"`)
		digests[digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("the digests tell the secrets apart: %v", digests)
	}
}

// TestNoKeyNoRule refuses keyed digests without a key, or by one that can be guessed.
func TestNoKeyNoRule(t *testing.T) {
	for _, key := range [][]byte{nil, {}, []byte("short")} {
		if r, err := activity.NewRedactor([]activity.Rule{{Name: "r", Regex: "x", Do: activity.RedactHMAC}}, key); err == nil || r != nil {
			t.Errorf("key of %d bytes: %v, %v", len(key), r, err)
		}
	}
}
