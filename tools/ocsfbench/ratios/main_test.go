// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Rounds one behind the other count together, whatever each of them says.
func TestRounds(t *testing.T) {
	var in strings.Builder
	for _, round := range [][2]int{{1000, 4000}, {9000, 9000}, {2000, 6000}} {
		fmt.Fprintf(&in, "goos: linux\ngoarch: amd64\ncpu: A Machine @ 2GHz\n"+
			"BenchmarkEncode/ocsf-2 \t 100\t %d ns/op\t 9 MB/s\t 0 B/op\t 0 allocs/op\n"+
			"BenchmarkEncode/encoding-json-2 \t 100\t %d ns/op\t 9 MB/s\t 70 B/op\t 7 allocs/op\nPASS\n", round[0], round[1])
	}
	want := "| operation | who | median | allocations | times ocsf |\n|---|---|---|---|---|\n" +
		"| Encode | ocsf | 2.00 us | 0 | 1.0 |\n| Encode | encoding-json | 6.00 us | 7 | 3.0 |\n\n" +
		runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "; A Machine @ 2GHz; GOMAXPROCS 2; rounds: 3\n"
	var out strings.Builder
	if err := run(strings.NewReader(in.String()), &out); err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
	if err := run(strings.NewReader("FAIL\n"), &out); err == nil {
		t.Error("no benchmark is no error")
	}
}
