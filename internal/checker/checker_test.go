// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A story is a sound history, which tests spoil.
type story struct {
	events []map[string]any
	prev   [2]string // uid and fingerprint
}

func newStory() *story {
	s := &story{}
	s.add("lifecycle", "start", "")
	s.add("result", "", "one")
	s.add("result", "", "two \"\\\n\u0007é")
	s.add("lifecycle", "stop", "")
	return s
}

func (s *story) add(kind, lifecycle, payload string) {
	n := len(s.events) + 1
	e := map[string]any{
		"metadata": map[string]any{
			"uid": fmt.Sprint("uid-", n), "tenant_uid": "acme", "event_code": kind, "sequence": json.Number(fmt.Sprint(n)),
			"loggers": []any{map[string]any{"uid": "epoch-1", "name": "gateway-0"}},
		},
		"unmapped": map[string]any{
			"docket":           map[string]any{"lifecycle": lifecycle},
			"attestation_list": []any{map[string]any{"chain_uid": "epoch-1"}},
		},
	}
	if payload != "" {
		e["api"] = map[string]any{"response": map[string]any{"data": map[string]any{"payload": payload}}}
	}
	s.events = append(s.events, e)
}

// messages seals the events as they are now, in order.
func (s *story) messages() []Message {
	var list []Message
	s.prev = [2]string{}
	for _, e := range s.events {
		attestation := at(e, "unmapped", "attestation_list", "0").(map[string]any)
		if s.prev[0] != "" {
			attestation["prev_event"] = map[string]any{"uid": s.prev[0], "fingerprint": map[string]any{"value": s.prev[1]}}
		}
		open := sha256.Sum256(canonical(nil, e))
		attestation["fingerprint"] = map[string]any{"value": hex.EncodeToString(open[:])}
		s.prev = [2]string{text(e, "metadata", "uid"), hex.EncodeToString(open[:])}
		list = append(list, Message{
			Subject: fmt.Sprintf("docket.activity.acme.%s.allow.gateway-0", text(e, "metadata", "event_code")),
			Header: map[string][]string{
				"Docket-Event-Uid": {text(e, "metadata", "uid")}, "Docket-Epoch": {"epoch-1"}, "Docket-Sequence": {fmt.Sprint(number(e, "metadata", "sequence"))},
			},
			Raw: canonical(nil, e),
		})
		delete(attestation, "fingerprint")
	}
	return list
}

func TestSoundHistory(t *testing.T) {
	m := newStory().messages()
	h := Read(append(slices.Clone(m), m[1:]...)) // repetitions are fine
	stopped, crashed := h.Ended()
	sum := sha256.Sum256(m[1].Raw)
	line := Line{Payload: "one", Epoch: "epoch-1", Sequence: 2, SHA256: hex.EncodeToString(sum[:])}
	if lost := h.Lost([]Line{line}); len(h.Faults) > 0 || len(lost) > 0 || stopped != 1 || crashed != 0 || !h.Has("one") || h.Messages != 7 {
		t.Errorf("faults %v, lost %v, %d stopped, %d crashed", h.Faults, lost, stopped, crashed)
	}
	line.Sequence = 3
	if len(h.Lost([]Line{line, {Payload: "three", Epoch: "epoch-1", Sequence: 9}, {Payload: "four", Offered: true}})) != 2 {
		t.Error("lost events are not missed")
	}
}

// A checker that finds nothing is worth nothing.
func TestEachFaultIsFound(t *testing.T) {
	edit := func(change func(s *story)) []Message {
		s := newStory()
		change(s)
		return s.messages()
	}
	metadata := func(s *story, i int) map[string]any { return s.events[i]["metadata"].(map[string]any) }
	m := newStory().messages()
	for want, messages := range map[string][]Message{
		"follows 2":           {m[0], m[1], m[3]},
		"it says":             {m[0], {m[1].Subject, m[1].Header, []byte(strings.Replace(string(m[1].Raw), "one", "six", 1))}},
		"not canonical":       {{m[0].Subject, m[0].Header, append([]byte(" "), m[0].Raw...)}},
		"is not of event":     {{"docket.activity.beta.lifecycle.none.gateway-0", m[0].Header, m[0].Raw}},
		"the event has":       {{m[0].Subject, map[string][]string{}, m[0].Raw}},
		"other bytes":         append(slices.Clone(m), edit(func(s *story) { metadata(s, 1)["sort"] = "other" })[1]),
		"broken at 3":         {m[0], m[1], edit(func(s *story) { metadata(s, 1)["sort"] = "other" })[2]},
		"is lifecycle":        edit(func(s *story) { s.events[0]["unmapped"].(map[string]any)["docket"] = map[string]any{} }),
		"uid uid-2 came":      edit(func(s *story) { metadata(s, 2)["uid"] = "uid-2" }),
		"offered once":        edit(func(s *story) { s.events[2]["api"] = s.events[1]["api"] }),
		"neither a stop":      m[:3],
		"follows its stop":    edit(func(s *story) { s.add("result", "", "late") }),
		"changes hands":       edit(func(s *story) { at(s.events[1], "metadata", "loggers", "0").(map[string]any)["name"] = "gateway-1" }),
		"head at 4 is untrue": edit(func(s *story) { headOf(s.events[3], 2) }),
		"closed, and not":     edit(func(s *story) { closesIn(s.events[0], "epoch-0") }),
		"a later start closes": edit(func(s *story) {
			closesIn(s.events[0], "epoch-1")
		}),
	} {
		h := Read(messages)
		h.Ended()
		if found := strings.Join(h.Faults, "\n"); !strings.Contains(found, want) {
			t.Errorf("%q is not among the faults:\n%s", want, found)
		}
	}
}

func headOf(e map[string]any, sequence int) {
	e["unmapped"].(map[string]any)["docket"].(map[string]any)["head"] = map[string]any{
		"epoch": "epoch-1", "sequence": json.Number(fmt.Sprint(sequence)), "fingerprint": "00",
	}
}

func closesIn(e map[string]any, epoch string) {
	e["unmapped"].(map[string]any)["docket"].(map[string]any)["closes"] = []any{map[string]any{"epoch": epoch, "last_sequence": json.Number("1")}}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Add(Line{Payload: "one"}, Line{Payload: "two"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := ReadJournal(path, path+"-that-is-not-there")
	if err != nil || len(lines) != 1 || lines[0].Payload != "one" {
		t.Errorf("%+v, %v", lines, err)
	}
}
