// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
)

// started is an event that is valid in all versions that are known.
const started = `{"activity_id":3,"app":{"name":"s"},"category_uid":6,"class_uid":6002,"metadata":{"product":{"name":"s"},"version":"1.8.0"},"severity_id":1,"time":1,"type_uid":600203}`

func validateFor(t *testing.T, stdin io.Reader, stdout io.Writer, files ...string) error {
	t.Helper()
	o := validateOptions{schema: "1.8.0", mode: "server", format: cli.NDJSON}
	return o.run(t.Context(), files, stdin, stdout, io.Discard)
}

// Many cores judge, of several files; the rows come in the order of the input,
// those of what is broken among them.
func TestValidateKeepsTheOrder(t *testing.T) {
	const n = 5000
	var in bytes.Buffer
	var want []string
	for i := range n {
		switch {
		case i%97 == 5:
			fmt.Fprintln(&in, `{"broken":`)
			want = append(want, fmt.Sprintf("%d unreadable", i))
		case i%31 == 7:
			fmt.Fprintln(&in, `{"class_uid":7}`)
			want = append(want, fmt.Sprintf("%d false", i))
		default:
			fmt.Fprintln(&in, started)
			want = append(want, fmt.Sprintf("%d true", i))
		}
	}
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, in.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := validateFor(t, &in, &out, file, eventfile.Stdin)
	if err == nil || !strings.HasPrefix(err.Error(), file+":6: ") {
		t.Errorf("broken lines are no error: %v", err)
	}
	got := map[string][]string{}
	for line := range bytes.Lines(out.Bytes()) {
		var row struct {
			File  string
			Index int
			Valid bool
			Error string
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		said := fmt.Sprintf("%d %v", row.Index, row.Valid)
		if row.Error != "" {
			said = fmt.Sprintf("%d unreadable", row.Index)
		}
		got[row.File] = append(got[row.File], said)
	}
	if diff := cmp.Diff(map[string][]string{file: want, "-": want}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Who writes events into a pipe sees the verdict of each before the next.
func TestValidateIsLive(t *testing.T) {
	in, events := io.Pipe()
	rows, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := validateFor(t, in, out, eventfile.Stdin)
		out.Close()
		ended <- err
	}()
	read := bufio.NewReader(rows)
	for i := range 3 {
		fmt.Fprintln(events, started)
		row, err := read.ReadString('\n')
		if want := fmt.Sprintf(`{"file":"-","index":%d,"class_uid":6002,"valid":true,`, i); err != nil || !strings.HasPrefix(row, want) {
			t.Fatalf("row %d is %s, %v", i, row, err)
		}
	}
	events.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// One who is tired of waiting for input gets out, and what was found until then.
func TestValidateInterrupted(t *testing.T) {
	for format, want := range map[string]string{
		cli.NDJSON: `"valid":false,`,
		cli.Table:  "interrupted after 1 event: 1 invalid, ",
	} {
		in, events := io.Pipe()
		defer events.Close()
		rows, out := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		o := validateOptions{schema: "1.8.0", mode: "server", format: format, limit: 50}
		ended := make(chan error, 1)
		go func() {
			ended <- o.run(ctx, []string{eventfile.Stdin}, in, out, io.Discard)
			out.Close()
		}()
		fmt.Fprintln(events, `{"class_uid":7}`)
		read := bufio.NewReader(rows)
		first, err := read.ReadString('\n') // what it says of the event, so that it has been judged
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		rest, err := io.ReadAll(read)
		if said := first + string(rest); err != nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v, it says %s", format, err, said)
		}
		if err := <-ended; err == nil || err.Error() != "interrupted: 1 event judged, the rest was not" {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// endlessly repeats a line.
type endlessly string

func (line endlessly) Read(p []byte) (int, error) {
	if len(p) < len(line) {
		return copy(p, "\n"), nil
	}
	return copy(p, line), nil
}

type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// A reader that goes away ends the work, however long the input is, and is no
// failure; what was found until then is.
func TestValidateClosedPipe(t *testing.T) {
	for _, c := range []struct {
		name string
		in   io.Reader
		code int
		err  string
	}{
		{"valid, without end", endlessly(started + "\n"), 0, ""},
		{"invalid, without end", endlessly(`{"class_uid":7}` + "\n"), cli.ExitFound, ""},
		{"unreadable, without end", io.MultiReader(strings.NewReader("?\n"), endlessly(`{"class_uid":7}`+"\n")), cli.ExitFailure, "want an event"},
		{"invalid, to the end", strings.NewReader(`{"class_uid":7}`), cli.ExitFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			root := &cobra.Command{Use: "docket", RunE: func(*cobra.Command, []string) error {
				return validateFor(t, c.in, deaf{}, eventfile.Stdin)
			}}
			if code := cli.Run(root, nil, io.Discard, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if said := stderr.String(); !strings.Contains(said, c.err) || (said == "") != (c.err == "") {
				t.Errorf("it says %q, want %q", said, c.err)
			}
		})
	}
}

func TestVersionOf(t *testing.T) {
	for _, c := range []struct {
		event, want string
		fails       bool
	}{
		{event: started, want: "1.8.0"},
		{event: `{"a":{"metadata":{"version":"9"}},"metadata":{"x":[{"version":"9"}],"version":"1\u002e9.0"}}`, want: "1.9.0"},
		{event: `{"metadata":{"product":{"version":"9"}},"version":"9"}`},
		{event: `{"metadata":{"version":18}}`},
		{event: `{"metadata":{"version":null}}`},
		{event: `{"metadata":"version"}`},
		{event: `{"metadata":[]}`},
		{event: `{}`},
		{event: `{"a":1,,}`, fails: true},
		{event: `{"metadata":{"version":"`, fails: true},
	} {
		got, err := versionOf([]byte(c.event))
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %q, %v", c.event, got, err)
		}
	}
}

// The rows of -o ndjson are read by scripts of others: members may be added,
// none may go, and lists are lists when they are empty.
func TestValidateRows(t *testing.T) {
	in := started + "\n" + `{"class_uid":7,"metadata":{"uid":"u"}}` + "\n?\n" + `{"events":[],"x":1}`
	var out bytes.Buffer
	if err := validateFor(t, strings.NewReader(in), &out, eventfile.Stdin, "none.json"); err == nil {
		t.Error("no error")
	}
	var got []string
	for line := range bytes.Lines(out.Bytes()) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		got = append(got, shape(row))
	}
	want := []string{
		"class_uid errors[] file index line schema valid warnings[]",
		"class_uid errors[code message path] file index line schema uid valid warnings[]",
		"error file index line",
		"bundle errors[code message path] file line schema valid warnings[]",
		"error file hint",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What a class is called, and when there is none.
func TestValidateClass(t *testing.T) {
	for in, want := range map[string]string{
		started:                     "6002 Application Lifecycle 6002",
		`{"class_uid":7}`:           "7 class 7",
		`{"class_uid":0}`:           "0 Base Event 0",
		`{"class_uid":0,"time":""}`: "0 Base Event 0",
		`{"class_uid":"0"}`:         "null no class",
		`{"class_uid":null}`:        "null no class",
		`{"class_uid":1.5}`:         "null no class",
		`{}`:                        "null no class",
		"null":                      "null no event",
		"7":                         "null no event",
		`"text"`:                    "null no event",
	} {
		o := validateOptions{schema: "1.8.0", mode: "server"}
		judge, err := newJudge(&o)
		if err != nil {
			t.Fatal(err)
		}
		v := judgement{file: "f", line: 1}
		judge.event(&v, []byte(in))
		text, err := ndjson(&v)
		if err != nil || v.err != nil {
			t.Fatal(err, v.err)
		}
		var row struct {
			ClassUID json.RawMessage `json:"class_uid"`
		}
		if err := json.Unmarshal(text, &row); err != nil {
			t.Fatal(err)
		}
		if got := string(row.ClassUID) + " " + className(&v); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// On a terminal the table and the error are read one below the other: what could
// not be read is said once there, and twice where somebody keeps the table.
func TestValidateSaysOnce(t *testing.T) {
	for _, seen := range []bool{false, true} {
		r := validateReport{unreadable: 1, first: errors.New("cut off"), seen: seen}
		var stderr bytes.Buffer
		code := cli.Run(&cobra.Command{Use: "docket", RunE: func(*cobra.Command, []string) error { return r.verdict() }}, nil, io.Discard, &stderr)
		if code != cli.ExitFailure || (stderr.Len() == 0) != seen {
			t.Errorf("with the row in sight %v: exit code %d, %q", seen, code, stderr.String())
		}
	}
}

func shape(o map[string]any) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if list, ok := o[name].([]any); ok {
			inner := ""
			if len(list) > 0 {
				inner = shape(list[0].(map[string]any))
			}
			name += "[" + inner + "]"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}
