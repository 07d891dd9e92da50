// SPDX-License-Identifier: Apache-2.0

package emitter

import "github.com/docket-audit/docket/ocsf"

// A lender is an event whose memory is somebody's.
type lender interface{ Release() }

// giveBack gives the memory of an event that is encoded back to who lends it.
func giveBack(e ocsf.Event) {
	if l, ok := e.(lender); ok {
		l.Release()
	}
}
