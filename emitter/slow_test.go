// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// A slowProxy stands before a server. Whatever it is told by either side, it
// passes on after a while.
type slowProxy struct {
	lis   net.Listener
	to    string
	delay atomic.Int64 // ns, of each piece
	takes atomic.Int64 // bytes of clients that it passes on, all when 0; then it takes what comes and says nothing
	taken atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu
	wg    sync.WaitGroup
}

func newSlowProxy(t *testing.T, url string) *slowProxy {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &slowProxy{lis: lis, to: strings.TrimPrefix(url, "nats://"), conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = lis.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *slowProxy) url() string { return "nats://" + p.lis.Addr().String() }

func (p *slowProxy) accept() {
	for {
		from, err := p.lis.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.to)
		if err != nil { // the server is away
			_ = from.Close()
			continue
		}
		p.mu.Lock()
		p.conns[from], p.conns[to] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(from, to, &p.taken) })
		p.wg.Go(func() { p.pass(to, from, new(atomic.Int64)) })
	}
}

// pass ends both when one ends.
func (p *slowProxy) pass(from, to net.Conn, taken *atomic.Int64) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		time.Sleep(time.Duration(p.delay.Load()))
		if takes := p.takes.Load(); takes > 0 && err == nil && (taken.Add(int64(n)) > takes || p.taken.Load() > takes) {
			continue
		}
		if _, writing := to.Write(buf[:n]); writing != nil || err != nil {
			return
		}
	}
}
