// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// What is drawn in every run is a slice; -rapid.checks=5000 draws more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "150"); err != nil {
		panic(err)
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}
