// SPDX-License-Identifier: Apache-2.0

package emitter

import "github.com/docket-audit/docket/ocsf"

// A pool is room that principals share. Each event is charged to the account of
// its principal, from when it is taken until it is durable.
//
// Nobody is told beforehand how much is theirs. A principal may take more as
// long as at least as much stays free as it then holds: one alone gets half of
// the pool, the next one half of the rest, and once the disk is fast again all
// come to hold the same. The last eighth is for those who hold little. However
// many are noisy and however long the disk hangs, who holds little is taken,
// until those who hold little have filled the eighth between them.
//
// It costs a look into a map for each event. There are no more accounts with
// something in them than events that wait.
type pool struct {
	limit    int64
	bytes    int64 // of all accounts
	accounts map[accountKey]*account
	sweepAt  int // with so many accounts, empty ones go
}

// An accountKey is a principal: as profile.Header has it, so that gap findings
// and columns mean the same. Events of a tenant that name none are one
// principal.
type accountKey struct{ tenant, principal string }

type account struct {
	pool  *pool
	bytes int64
}

// A charge is what one event takes of a pool.
type charge struct {
	account *account
	weight  int64
}

const (
	reservedShare = 8       // one in so many parts of a pool is for those who hold little:
	littleShare   = 512     // one in so many parts of it,
	littleBytes   = 4 << 10 // or this if it is more

	sweepFloor = 1024 // accounts that are not worth a sweep
)

func newPool(limit int64) pool {
	return pool{limit: limit, accounts: map[accountKey]*account{}, sweepAt: sweepFloor}
}

// admit charges an event of weight w to the account of key, or says why not. An
// event that no pool of this size would ever take is charged as the largest that
// it does: its caller holds it in memory already, and it is one.
func (p *pool) admit(key accountKey, w int64) (charge, refusalReason) {
	w = min(w, p.limit/2)
	a := p.accounts[key]
	holds := w
	if a != nil {
		holds += a.bytes
	}
	free := p.limit - p.bytes - w
	switch {
	case free < 0:
		return charge{}, refusedFull
	case holds > max(p.limit/littleShare, littleBytes) && free < max(holds, p.limit/reservedShare):
		return charge{}, refusedShare
	}
	if a == nil {
		p.sweep()
		a = &account{pool: p}
		p.accounts[key] = a
	}
	a.bytes += w
	p.bytes += w
	return charge{a, w}, admitted
}

// A refusalReason is why a pool does not take an event.
type refusalReason int

const (
	admitted     refusalReason = iota
	refusedFull                // there is no room for anybody
	refusedShare               // there is room, but for others
)

// release gives back what c took.
func (c charge) release() {
	c.account.bytes -= c.weight
	c.account.pool.bytes -= c.weight
}

// sweep forgets empty accounts, when there are twice as many accounts as the
// last sweep left: so that it costs each new account a constant.
func (p *pool) sweep() {
	if len(p.accounts) < p.sweepAt {
		return
	}
	for key, a := range p.accounts {
		if a.bytes == 0 {
			delete(p.accounts, key)
		}
	}
	p.sweepAt = max(sweepFloor, 2*len(p.accounts))
}

// accountOf returns whose account e is charged to.
func accountOf(b *ocsf.Base) accountKey {
	key := accountKey{tenant: b.Metadata.TenantUID}
	if a := b.Actor; a != nil {
		switch {
		case a.User != nil && a.User.UID != "":
			key.principal = a.User.UID
		case a.AppUID != "":
			key.principal = a.AppUID
		default:
			key.principal = a.AppName
		}
	}
	return key
}
