// SPDX-License-Identifier: Apache-2.0

package emitter

import "github.com/docket-audit/docket/ocsf"

// giveBack gives the memory of an event that is encoded back to who lends it.
func giveBack(e ocsf.Event) {
	if l, ok := e.(interface{ Release() }); ok {
		l.Release()
	}
}
