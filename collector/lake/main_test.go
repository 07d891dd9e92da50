// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// A step of a state machine is files, synced one by one. What is drawn in every run
// is a slice; -rapid.checks=1000 draws more.
func TestMain(m *testing.M) {
	checks := flag.Lookup("rapid.checks")
	if err := checks.Value.Set(strconv.Itoa(25 / slower)); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
