// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// fails runs a command that must end with an exit code: fails CODE COMMAND ...
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE COMMAND ...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); !errors.As(err, &exit) || exit.ExitCode() != want {
		ts.Fatalf("%v, want exit code %d", err, want)
	}
}

// uid sets a variable to the uid of the event that a file begins with: uid NAME
// FILE.
func uid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: uid NAME FILE")
	}
	var event struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	ts.Check(json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile(args[1])))).Decode(&event))
	ts.Setenv(args[0], event.Metadata.UID)
}
