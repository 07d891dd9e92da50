// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf"
)

var updateVectors = flag.Bool("update-vectors", false, "copy the vectors of validation from ../../shared/ocsf/vectors, and accept what strict mode makes of them")

// The vectors are events with what the official validator said of them, by
// schema 1.8.0: events with one fault each, and for each class one with the
// required attributes and one with all. Here they are lines of JSON; the large
// group is compressed.
const (
	vectorsDir  = "testdata/validate/"
	verdictFile = vectorsDir + "verdicts-1.8.0.ndjson"
)

var vectorFiles = map[string]string{
	"mutations-1.8.0": vectorsDir + "mutations-1.8.0.ndjson",
	"generated-1.8.0": vectorsDir + "generated-1.8.0.ndjson.gz",
}

type vector struct {
	File  string          `json:"file"`
	Event json.RawMessage `json:"event"`
}

// A verdict has the code and the path of each issue, with a space between.
type verdict struct {
	File     string   `json:"file"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, name := range vectorFiles {
		all = append(all, readLines[vector](t, name)...)
	}
	slices.SortFunc(all, func(a, b vector) int { return strings.Compare(a.File, b.File) })
	return all
}

func readLines[T any](t testing.TB, name string) []T {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(data)
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	return decodeLines[T](t, r)
}

func decodeLines[T any](t testing.TB, r io.Reader) []T {
	t.Helper()
	var list []T
	for dec := json.NewDecoder(r); ; {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
}

func TestValidateVectors(t *testing.T) {
	events := make(map[string]json.RawMessage)
	for _, v := range readVectors(t) {
		events[v.File] = v.Event
	}
	verdicts := readLines[verdict](t, verdictFile)
	if len(verdicts) != 266 || len(events) != 266 {
		t.Errorf("%d verdicts of %d events, want 266", len(verdicts), len(events))
	}
	for _, want := range verdicts {
		r, err := ocsf.Validate(events[want.File], "1.8.0", ocsf.ModeServer)
		if err != nil {
			t.Errorf("%s: %v", want.File, err)
			continue
		}
		if diff := cmp.Diff(want, newVerdict(want.File, r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.File, diff)
		}
	}
}

func newVerdict(file string, r *ocsf.Report) verdict {
	facts := func(issues []ocsf.Issue) []string {
		list := []string{}
		for _, i := range issues {
			list = append(list, i.Code+" "+i.Path)
		}
		slices.Sort(list)
		return list
	}
	return verdict{File: file, Errors: facts(r.Errors), Warnings: facts(r.Warnings)}
}

// What strict mode makes of the vectors, where it is something else.
func TestValidateVectorsStrict(t *testing.T) {
	var got []verdict
	for _, v := range readVectors(t) {
		strict, err := ocsf.Validate(v.Event, "1.8.0", ocsf.ModeStrict)
		if err != nil {
			t.Fatal(err)
		}
		server, err := ocsf.Validate(v.Event, "1.8.0", ocsf.ModeServer)
		if err != nil {
			t.Fatal(err)
		}
		if s := newVerdict(v.File, strict); !cmp.Equal(s, newVerdict(v.File, server)) {
			got = append(got, s)
		}
	}
	compareLines(t, vectorsDir+"strict-1.8.0.ndjson", got)
}

// TestValidateVectorsAreOriginals compares our copies with the originals, where
// those are.
func TestValidateVectorsAreOriginals(t *testing.T) {
	const originals = "../../shared/ocsf/vectors/"
	f, err := os.Open(originals + "expected/verdicts-schema-1.8.0.ndjson")
	if errors.Is(err, fs.ErrNotExist) && !*updateVectors {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for group, name := range vectorFiles {
		files, err := filepath.Glob(originals + group + "/*.json")
		if err != nil {
			t.Fatal(err)
		}
		want := []vector{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var event bytes.Buffer
			if err := json.Compact(&event, text); err != nil {
				t.Fatal(err)
			}
			want = append(want, vector{File: group + "/" + filepath.Base(file), Event: event.Bytes()})
		}
		compareLines(t, name, want)
	}
	type issue struct {
		Error   string `json:"error"`
		Warning string `json:"warning"`
		Path    string `json:"attribute_path"`
	}
	facts := func(issues []issue) []string {
		list := []string{}
		for _, i := range issues {
			list = append(list, i.Error+i.Warning+" "+i.Path)
		}
		slices.Sort(list)
		return list
	}
	want := []verdict{}
	for _, v := range decodeLines[struct {
		File     string  `json:"file"`
		Errors   []issue `json:"errors"`
		Warnings []issue `json:"warnings"`
	}](t, f) {
		if _, ours := vectorFiles[filepath.Dir(v.File)]; ours {
			want = append(want, verdict{File: v.File, Errors: facts(v.Errors), Warnings: facts(v.Warnings)})
		}
	}
	compareLines(t, verdictFile, want)
}

// compareLines compares a file with what is to be in it, or writes it.
func compareLines[T any](t *testing.T, name string, want []T) {
	t.Helper()
	if *updateVectors {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		var out io.Writer = w
		zip := gzip.NewWriter(w)
		if strings.HasSuffix(name, ".gz") {
			out = zip
		}
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for _, v := range want {
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
		}
		if out == zip {
			if err := zip.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asText := cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
	if diff := cmp.Diff(want, readLines[T](t, name), asText); diff != "" {
		t.Errorf("%s is out of date, accept with -update-vectors (-want +got):\n%s", name, diff)
	}
}
