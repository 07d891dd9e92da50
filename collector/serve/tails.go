// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"sync"

	"github.com/docket-audit/docket/collector/authz"
)

// A tail that reads what is stored holds some files open and some MiB of events.
const (
	maxTails       = 128 // at a time
	maxCallerTails = 64  // of one caller
)

// tails are those under way.
type tails struct {
	mu  sync.Mutex
	all int              // guarded by mu
	of  map[authzKey]int // by caller; guarded by mu
}

// authzKey tells callers apart.
type authzKey struct{ subject, issuer, by string }

// enter admits a tail, or says that there are too many.
func (t *tails) enter(g *authz.Grant) (leave func(), err error) {
	who := authzKey{g.Subject, g.Issuer, g.By}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= maxTails || t.of[who] >= maxCallerTails {
		return nil, &tailsError{}
	}
	if t.of == nil {
		t.of = make(map[authzKey]int)
	}
	t.all++
	t.of[who]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all--
		if t.of[who]--; t.of[who] == 0 {
			delete(t.of, who)
		}
	}, nil
}

type tailsError struct{}

func (*tailsError) Error() string {
	return fmt.Sprintf("%v: there are %d tails, or %d of this caller", ErrBusy, maxTails, maxCallerTails)
}
func (*tailsError) Unwrap() error { return ErrBusy }
func (*tailsError) Hint() string  { return "end others, or subscribe to NATS" }
