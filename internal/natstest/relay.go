// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A relay carries the connections that one server of a cluster makes to another.
type relay struct {
	lis     net.Listener
	to      string
	running sync.WaitGroup

	mu    sync.Mutex
	dark  bool                  // what is sent is gone; guarded by mu
	over  bool                  // nothing more is taken; guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

// newRelay carries to a port of this machine until the test ends.
func newRelay(t testing.TB, port int) *relay {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("relay routes: %v", err)
	}
	r := &relay{lis: lis, to: fmt.Sprintf("127.0.0.1:%d", port), conns: make(map[net.Conn]struct{})}
	r.running.Go(r.serve)
	t.Cleanup(r.close)
	return r
}

func (r *relay) url() string { return "nats://" + r.lis.Addr().String() }

func (r *relay) serve() {
	for {
		c, err := r.lis.Accept()
		if err != nil {
			return // closed
		}
		r.running.Go(func() { r.carry(c) })
	}
}

// carry carries one connection to its end.
func (r *relay) carry(from net.Conn) {
	defer func() { _ = from.Close() }()
	if !r.keep(from) {
		return
	}
	defer r.forget(from)
	if r.isDark() {
		_, _ = io.Copy(io.Discard, from) // whoever asked waits for an answer
		return
	}
	to, err := net.DialTimeout("tcp", r.to, time.Second)
	if err != nil {
		return // the server is gone
	}
	defer func() { _ = to.Close() }()
	if !r.keep(to) {
		return
	}
	defer r.forget(to)
	var back sync.WaitGroup
	back.Go(func() { r.pump(from, to) })
	r.pump(to, from)
	back.Wait()
}

// pump carries what from sends until one of both ends, and ends both.
func (r *relay) pump(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !r.isDark() {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) isDark() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dark
}

func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.conns[c] = struct{}{}
	}
	return !r.over
}

func (r *relay) forget(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

func (r *relay) cut(silently bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dark = true
	if !silently {
		r.hangUp()
	}
}

// heal lets new connections through. Of those that are there, a part is lost.
func (r *relay) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dark = false
	r.hangUp()
}

// hangUp closes all connections. The caller holds mu.
func (r *relay) hangUp() {
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *relay) close() {
	r.mu.Lock()
	r.over = true
	r.hangUp()
	r.mu.Unlock()
	_ = r.lis.Close()
	r.running.Wait()
}
