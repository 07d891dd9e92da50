// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// What is drawn in every run is a slice; -rapid.checks=1000 draws more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}
