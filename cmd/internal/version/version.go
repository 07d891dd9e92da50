// SPDX-License-Identifier: Apache-2.0

// Package version says which Docket this is.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Number is the version of the source.
const Number = "0.1.0"

// revision is set by the linker, as the Makefile does; see [Revision].
var revision string

// Revision returns the commit that the binary was built from.
func Revision() string {
	if revision != "" {
		return revision
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// String returns one line for people.
func String() string {
	return fmt.Sprintf("%s (%s, %s, %s/%s)", Number, Revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
