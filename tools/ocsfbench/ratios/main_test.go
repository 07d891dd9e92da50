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
	for _, round := range [][4]int{{1000, 900, 4000, 3600}, {9000, 1100, 9000, 3000}, {2000, 1000, 6000, 4000}} {
		fmt.Fprintf(&in, "goos: linux\ngoarch: amd64\ncpu: A Machine @ 2GHz\n"+
			"BenchmarkEncode/ocsf-2 \t 100\t %d ns/op\t 9 MB/s\t %d cpu-ns/op\t 0 B/op\t 0 allocs/op\n"+
			"BenchmarkEncode/encoding-json-2 \t 100\t %d ns/op\t 9 MB/s\t %d cpu-ns/op\t 70 B/op\t 7 allocs/op\n"+
			"BenchmarkDecode \t 100\t 5000 ns/op\nPASS\n", round[0], round[1], round[2], round[3])
	}
	want := "| operation | who | median | times ocsf | processor time | times ocsf | allocations |\n|---|---|---|---|---|---|---|\n" +
		"| Encode | ocsf | 2.00 us | 1.0 | 1.00 us | 1.0 | 0 |\n| Encode | encoding-json | 6.00 us | 3.0 | 3.60 us | 3.6 | 7 |\n" +
		"| Decode | ocsf | 5.00 us | 1.0 | | |  |\n\n" +
		runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "; A Machine @ 2GHz; GOMAXPROCS 2; rounds: 3\n"
	var out strings.Builder
	if err := run(strings.NewReader(in.String()), &out); err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
	for _, text := range []string{"FAIL\n", "BenchmarkEncode/ocsf-2 \t 100\t x ns/op\n"} {
		if err := run(strings.NewReader(text), &out); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
}
