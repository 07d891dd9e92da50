// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"flag"
	"testing"
)

// The flags of test binaries; nobody else has them.
var (
	updateFlag = flagOf(func() *bool { return flag.Bool("replay.update", false, "write the files that replay.Golden names") })
	eventFlag  = flagOf(func() *string {
		return flag.String("replay.event", "", "replay only the operation with this `UID`, or the one that the event or evaluation is of, and tell all of it")
	})
)

// flagOf defines a flag where a test runs; elsewhere it is what it is by default.
func flagOf[T any](define func() *T) *T {
	if !testing.Testing() {
		return new(T)
	}
	return define()
}
