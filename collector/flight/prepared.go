// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/sql"
)

// Statements bound what prepared statements take of memory. What is zero has the
// default that is said.
type Statements struct {
	Idle      time.Duration // how long one is kept that nobody uses; 10 minutes
	PerCaller int           // 64
	All       int           // 256
}

func (s Statements) withDefaults() Statements {
	if s.Idle <= 0 {
		s.Idle = 10 * time.Minute
	}
	if s.PerCaller <= 0 {
		s.PerCaller = 64
	}
	if s.All <= 0 {
		s.All = 256
	}
	return s
}

// A prepared is a prepared statement: its text and what is bound to it. Nothing
// of it lives in an engine.
type prepared struct {
	caller     string
	sql        string
	columns    *arrow.Schema
	takes      int // parameters
	parameters []sql.Parameter
	used       time.Time
}

// handles are the prepared statements of all callers, by their handles.
type handles struct {
	limits Statements
	now    func() time.Time

	mu  sync.Mutex
	all map[string]*prepared // guarded by mu, and what it points to
}

// create keeps a statement and returns its handle.
func (h *handles) create(p prepared) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	mine := 0
	for _, other := range h.all {
		if other.caller == p.caller {
			mine++
		}
	}
	if mine >= h.limits.PerCaller || len(h.all) >= h.limits.All {
		return "", status.Errorf(codes.ResourceExhausted, "too many prepared statements (%d, %d of them yours); close some, or wait: each is forgotten when it is not used for %s", len(h.all), mine, h.limits.Idle)
	}
	handle := rand.Text()
	p.used = h.now()
	h.all[handle] = &p
	return handle, nil
}

// expire forgets what nobody has used.
func (h *handles) expire() {
	for handle, p := range h.all {
		if h.now().Sub(p.used) > h.limits.Idle {
			delete(h.all, handle)
		}
	}
}

// use hands with a statement of the caller's, which it may change.
func (h *handles) use(g *authz.Grant, handle []byte, with func(*prepared) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	p := h.all[string(handle)]
	if p == nil || p.caller != caller(g) {
		return status.Error(codes.NotFound, "no such prepared statement: it was closed, is another caller's, or was not used for "+h.limits.Idle.String())
	}
	p.used = h.now()
	return with(p)
}

// get returns a copy of a statement of the caller's, which must have values for
// its parameters.
func (h *handles) get(g *authz.Grant, handle []byte) (p prepared, err error) {
	err = h.use(g, handle, func(found *prepared) error {
		p = *found
		if len(p.parameters) != p.takes {
			return status.Error(codes.InvalidArgument, fmt.Sprintf("the statement takes %d parameters and has %d values; bind them first", p.takes, len(p.parameters)))
		}
		return nil
	})
	return p, err
}

// close forgets a statement of the caller's. To close one that is not there is
// no mistake.
func (h *handles) close(g *authz.Grant, handle []byte) {
	_ = h.use(g, handle, func(*prepared) error { // an error says that it is gone already
		delete(h.all, string(handle))
		return nil
	})
}
