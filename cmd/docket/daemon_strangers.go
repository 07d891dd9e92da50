// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/docket-audit/docket/collector/serve"
)

// What is told of those whom nobody knows, a minute.
const (
	eachOfStranger  = 60   // accesses of one address that are told one by one
	eachOfStrangers = 600  // and of all of them together
	maxStrangers    = 1024 // addresses that are told apart
)

// strangers are those who ask without a token or certificate that is known. Each
// of their requests is an access, and whoever reaches a door can make them without
// end: of what is beyond the bounds one access a minute and address says how many
// there were.
type strangers struct {
	tell func(context.Context, serve.Access)
	now  func() time.Time

	mu     sync.Mutex
	began  time.Time                  // of the minute; guarded by mu
	told   int                        // in it; guarded by mu
	of     map[netip.Prefix]*stranger // guarded by mu
	end    *time.Timer                // of the minute, if something is to be told then; guarded by mu
	closed bool                       // guarded by mu: everything is told at once
}

type stranger struct {
	told int
	more int64        // that were not
	last serve.Access // of those
}

func newStrangers(tell func(context.Context, serve.Access), now func() time.Time) *strangers {
	return &strangers{tell: tell, now: now, of: map[netip.Prefix]*stranger{}}
}

// accessed tells of an access, now or at the end of the minute.
func (s *strangers) accessed(ctx context.Context, a serve.Access) {
	if a.Grant != nil || s.takes(a) {
		s.tell(ctx, a)
	}
}

// takes reports whether an access is told by itself.
func (s *strangers) takes(a serve.Access) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.began) >= time.Minute || now.Before(s.began) {
		s.sum()
		s.began = now
	}
	at := networkOf(a.Peer)
	who := s.of[at]
	if who == nil {
		if len(s.of) >= maxStrangers {
			at = netip.Prefix{} // whoever else there is
		}
		if who = s.of[at]; who == nil {
			who = &stranger{}
			s.of[at] = who
		}
	}
	if s.closed || who.told < eachOfStranger && s.told < eachOfStrangers {
		who.told++
		s.told++
		return true
	}
	who.more++
	who.last = a
	if s.end == nil {
		s.end = time.AfterFunc(time.Minute, s.ended)
	}
	return false
}

func (s *strangers) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum()
}

// sum tells what was not told one by one, and begins anew. mu is held.
func (s *strangers) sum() {
	if s.end != nil {
		s.end.Stop()
		s.end = nil
	}
	for _, who := range s.of {
		if a := who.last; who.more > 0 {
			end := a.Start.Add(a.Duration)
			if a.Start.After(s.began) {
				a.Start = s.began
			}
			a.Count, a.Duration = who.more, end.Sub(a.Start)
			s.tell(context.Background(), a)
		}
	}
	clear(s.of)
	s.told = 0
}

// close tells what is left. What comes then is told at once.
func (s *strangers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum()
	s.closed = true
}

// networkOf is what a caller of an address can call from: that address, of IPv6 the
// network of 64 bits.
func networkOf(peer string) netip.Prefix {
	p, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Prefix{}
	}
	addr := p.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}
