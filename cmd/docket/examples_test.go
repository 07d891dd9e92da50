// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/docket-audit/docket/internal/profile"
)

var fences = regexp.MustCompile("(?s)```(sh|json)\n(.*?)```")

// examples runs the blocks of shell in a document of docs/, each after the
// first, and compares what they print with the block of JSON behind them:
// examples DOCUMENT. Its addresses are those of $API and $OPS, its event is
// $EVENT, its data directory $DOCKET_DATA.
func examples(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: examples DOCUMENT")
	}
	text, err := os.ReadFile(filepath.Join(ts.Getenv("DOCS"), args[0]))
	ts.Check(err)
	const event = "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b"
	addresses := strings.NewReplacer("http://127.0.0.1:8080", ts.Getenv("API"), "http://127.0.0.1:9090", ts.Getenv("OPS"),
		event, or(ts.Getenv("EVENT"), event), "docket-data", or(ts.Getenv("DOCKET_DATA"), "docket-data"))
	setUp, printed, ran := "", "", 0
	for _, block := range fences.FindAllStringSubmatch(string(text), -1) {
		switch {
		case block[1] == "json":
			compare(ts, block[2], printed)
		case setUp == "":
			setUp = "set -e\n" + addresses.Replace(block[2])
		default:
			ts.Check(ts.Exec("sh", "-c", setUp+addresses.Replace(block[2])))
			printed = ts.ReadFile("stdout")
			ran++
		}
	}
	if ran == 0 {
		ts.Fatalf("%s has no examples", args[0])
	}
}

// compare checks that the first JSON value of got has all that want has, and of
// the same type.
func compare(ts *testscript.TestScript, want, got string) {
	var example, answer any
	ts.Check(json.Unmarshal([]byte(want), &example))
	if err := json.NewDecoder(strings.NewReader(got)).Decode(&answer); err != nil {
		ts.Fatalf("the answer is no JSON: %v\n%s", err, got)
	}
	if lack := lacking("", example, answer); lack != "" {
		ts.Fatalf("the answer has no %s, or of another type:\n%s", lack, got)
	}
}

func lacking(where string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		object, _ := got.(map[string]any)
		for name, v := range want {
			if lack := lacking(where+"/"+name, v, object[name]); lack != "" {
				return lack
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) < len(want) {
			return where
		}
		for i, v := range want {
			if lack := lacking(fmt.Sprintf("%s/%d", where, i), v, list[i]); lack != "" {
				return lack
			}
		}
	}
	if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
		return where
	}
	return ""
}

// docs/api.md names every column that a filter may use.
func TestDocumentedColumns(t *testing.T) {
	text, err := os.ReadFile("../../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(profile.Header{})
	if err != nil {
		t.Fatal(err)
	}
	var columns map[string]any
	if err := json.Unmarshal(b, &columns); err != nil || len(columns) == 0 {
		t.Fatalf("columns %v, %v", columns, err)
	}
	for name := range columns {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/filters.md does not name the column %s", name)
		}
	}
}

// docs/cli.md names every verb, and every flag that selects events.
func TestCLIPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, top := range root().Commands() {
		if top.Hidden {
			continue
		}
		if !strings.Contains(page, "`docket "+top.Name()+"`") && !strings.Contains(page, "`docket "+top.Name()+" ") {
			t.Errorf("no docket %s", top.Name())
		}
		for _, sub := range top.Commands() {
			named := regexp.MustCompile("(?m)^\\| .*`docket " + top.Name() + " .*\\b" + sub.Name() + "`")
			if !sub.Hidden && !named.MatchString(page) {
				t.Errorf("no docket %s %s", top.Name(), sub.Name())
			}
		}
	}
	for _, f := range filterFlags {
		if !strings.Contains(page, "`--"+f.flag+"`") {
			t.Errorf("no --%s", f.flag)
		}
	}
	for format := range eventFormats {
		if !strings.Contains(page, "| `"+format+"` |") {
			t.Errorf("no -o %s", format)
		}
	}
}
