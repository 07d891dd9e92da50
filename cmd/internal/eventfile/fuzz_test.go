// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// Whatever the bytes: the reader ends, in the same way however they arrive, and
// events that stand beside each other in any of the ways that it knows come out
// as they are.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "[{},\n{}]", "{\"a\":1}\x00{\"b\":[{}]}\x00{\n\"c\":\"\\\"}\"}", "{\"events\":[{}],\"count\":1}", "\ufeff{}\n\ufeff{\"a\":1}",
		"{\"a\":\n{\"b\":[\n{\"c\":\"x\n]},{}]", "[1,\"a\",{\"x\":{\n}},,]\n}{", strings.Repeat("{\"a\":[\n", 50), strings.Repeat("[{\"events\":[", 70),
		"{\"a\":[" + strings.Repeat("\n{},", 40) + "\n}\n{}",
	} {
		f.Add([]byte(seed), uint16(100))
	}
	f.Fuzz(func(t *testing.T, data []byte, most uint16) {
		o := Options{MaxEvent: int(most)}
		whole := told(t, bytes.NewReader(data), o)
		if diff := cmp.Diff(whole, told(t, iotest.OneByteReader(bytes.NewReader(data)), o)); diff != "" {
			t.Errorf("whole and byte by byte (-whole +bytes)\n%s", diff)
		}
		var events []string
		for piece := range bytes.SplitSeq(data, []byte{0}) {
			var line bytes.Buffer
			if object(piece) && json.Compact(&line, piece) == nil {
				events = append(events, line.String())
			}
		}
		for name, in := range together(t, events) {
			got, err := taken(in)
			if diff := cmp.Diff(events, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
			}
		}
	})
}

// object reports whether b is an object of JSON that is no bundle.
func object(b []byte) bool {
	var o map[string]json.RawMessage
	if json.Unmarshal(b, &o) != nil || o == nil {
		return false
	}
	_, events := o["events"]
	return !events
}

// together returns events in all the ways that people store them.
func together(t *testing.T, events []string) map[string]string {
	laidOut := make([]string, len(events))
	for i, e := range events {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(e), "", "  "); err != nil {
			t.Fatal(err)
		}
		laidOut[i] = b.String()
	}
	lines := strings.Join(events, "\n")
	var z bytes.Buffer
	for _, part := range []string{lines[:len(lines)/2], lines[len(lines)/2:]} {
		w, err := gzip.NewWriterLevel(&z, gzip.HuffmanOnly) // which takes little memory
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{
		"lines":           lines,
		"crlf":            "\ufeff" + strings.Join(events, "\r\n") + "\r\n\r\n",
		"beside":          strings.Join(events, ""),
		"laid out":        strings.Join(laidOut, "\n"),
		"array":           "[" + strings.Join(events, ",") + "]",
		"array, laid out": "[\n" + strings.Join(laidOut, ",\n") + "\n]\n",
		"bundle":          `{"count":1,"events":[` + strings.Join(laidOut, ",") + `],"start_time":7}`,
		"gzip":            z.String(),
	}
}

// taken opens in as a file is opened and returns its events, laid out in a line.
func taken(in string) ([]string, error) {
	file, err := Open(Stdin, strings.NewReader(in))
	if err != nil {
		return nil, err
	}
	var out []string
	for r := NewReader(file, Options{MaxEvent: 100 * (len(in) + 1)}); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if e.Bundle {
			continue
		}
		var line bytes.Buffer
		if err := json.Compact(&line, e.Data); err != nil {
			return out, err
		}
		out = append(out, line.String())
	}
}
