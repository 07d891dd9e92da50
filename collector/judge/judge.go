// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// Why a message is no event of its sender, beside what [profile.Check] and
// [profile.Header.Admit] find.
var (
	ErrSubject = errors.New("the subject is not the event's own")
	ErrHeaders = errors.New("the headers are not the event's own")
	ErrOwner   = errors.New("the epoch is another emitter's or tenant's")
	ErrJump    = errors.New("the sequence is too far ahead of its epoch")
)

// MaxJump is how far a sequence may be ahead of all that was stored of its
// epoch: several times as many events as a stream has room for. What is further
// ahead was not lost, it was made up.
const MaxJump = 1 << 26

// MaxOwners bounds what is kept in memory of epochs that the store knows too.
const MaxOwners = 4096

// Epochs is the part of a store that knows whose its epochs are.
type Epochs interface {
	// Epoch returns what is known of an epoch; nil when nothing is.
	Epoch(uid string) *store.Epoch
}

// A Message is what came by the stream.
type Message struct {
	Subject string
	Headers map[string][]string
	Data    []byte
}

// header returns the first value of a header.
func (m *Message) header(name string) string {
	if v := m.Headers[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// An Owner is whose an epoch is: the emitter that made it and the tenant that
// it is about.
type Owner struct{ Tenant, Emitter string }

// A Judge judges messages in the order of the stream. One goroutine at a time
// may use it.
type Judge struct {
	prefix string
	epochs Epochs
	owners map[string]*origin // by epoch

	events  profile.Series
	subject []byte // room for the one that a message should have
}

// New returns a judge of messages whose subjects begin with prefix. What it has
// not seen itself it asks epochs for.
func New(prefix string, epochs Epochs) *Judge {
	return &Judge{prefix: prefix, epochs: epochs, owners: make(map[string]*origin)}
}

// Event says whether a message is an event that its sender may send, and returns
// the event's header.
func (j *Judge) Event(m Message) (profile.Header, error) {
	h, err := j.events.Check(m.Data)
	if err != nil {
		return h, err
	}
	if err := h.Admit(); err != nil {
		return h, err
	}
	j.subject = profile.AppendSubject(j.subject[:0], j.prefix, &h)
	if m.Subject != string(j.subject) {
		return h, fmt.Errorf("%w: it should be %q", ErrSubject, j.subject)
	}
	for _, own := range [...]struct{ name, value string }{
		{profile.HeaderEventUID, h.MetadataUID},
		{profile.HeaderEpoch, h.Epoch},
		{profile.HeaderSequence, strconv.FormatInt(h.Sequence, 10)},
	} {
		if got := m.header(own.name); got != own.value {
			return h, fmt.Errorf("%w: %s is %.80q, should be %q", ErrHeaders, own.name, got, own.value)
		}
	}
	by := Owner{h.Tenant, h.Emitter}
	o, known := j.origin(h.Epoch)
	if !known {
		o = &origin{Owner: by}
	}
	if err := o.may(by, h.Sequence); err != nil {
		return h, err
	}
	if err := j.closing(by, h, m.Data); err != nil {
		return h, err
	}
	o.last = max(o.last, h.Sequence)
	j.owners[h.Epoch] = o
	return h, nil
}

// closing says whether an event may end the epochs that it says it ends. What it
// says of them is taken at its word by all who judge them later.
func (j *Judge) closing(by Owner, h profile.Header, raw []byte) error {
	closes, err := store.Closing(h, raw)
	if err != nil {
		return fmt.Errorf("%w: %w", profile.ErrMalformed, err)
	}
	for _, closed := range closes {
		ended := profile.Header{MetadataUID: h.MetadataUID, Epoch: closed.Epoch, Sequence: max(closed.LastSequence, 1)}
		if err := ended.Admit(); err != nil {
			return fmt.Errorf("it closes an epoch: %w", err)
		}
		if o, known := j.origin(closed.Epoch); known {
			if err := o.may(by, closed.LastSequence); err != nil {
				return fmt.Errorf("it closes epoch %s: %w", closed.Epoch, err)
			}
		}
	}
	return nil
}

// Claim returns which event of which epoch a refused message claims to be; "" and
// 0 when that does not count. It counts only when the epoch is known, the subject
// names its emitter and the sequence may be one: else anyone could make holes
// disappear.
func (j *Judge) Claim(m Message) (epoch string, sequence int64) {
	epoch = m.header(profile.HeaderEpoch)
	sequence, err := strconv.ParseInt(m.header(profile.HeaderSequence), 10, 64)
	if err != nil || sequence < 1 || sequence > profile.MaxSequence || !profile.IsUID(epoch) {
		return "", 0
	}
	o, known := j.origin(epoch)
	last := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	if !known || profile.Token(o.Emitter) != last || sequence-o.last > MaxJump {
		return "", 0
	}
	return epoch, sequence
}

// Owner returns whose an epoch is, if one of its events was ever taken.
func (j *Judge) Owner(epoch string) (Owner, bool) {
	o, ok := j.origin(epoch)
	if !ok {
		return Owner{}, false
	}
	return o.Owner, true
}

// An origin is whose an epoch is and how far it has come. The first that is
// seen of it may be any event: a store that was made anew has not seen the
// others.
type origin struct {
	Owner
	last int64 // highest sequence; 0 when there is none
}

// may says whether by may send the event of that sequence, or end with it.
func (o *origin) may(by Owner, sequence int64) error {
	if o.Owner != by {
		return fmt.Errorf("%w: of emitter %q and tenant %q", ErrOwner, o.Emitter, o.Tenant)
	}
	if o.last > 0 && sequence-o.last > MaxJump {
		return fmt.Errorf("%w: %d, the highest so far is %d", ErrJump, sequence, o.last)
	}
	return nil
}

// origin returns whose an epoch is, if one of its events was ever taken.
func (j *Judge) origin(epoch string) (*origin, bool) {
	o, ok := j.owners[epoch]
	if !ok {
		if e := j.epochs.Epoch(epoch); e != nil && e.Tenant != "" {
			o, ok = &origin{Owner{e.Tenant, e.Emitter}, e.HeadSequence}, true
			j.owners[epoch] = o
		}
	}
	return o, ok
}

// Reset forgets all that it learned by itself.
func (j *Judge) Reset() { clear(j.owners) }

// Settled is told that all that was judged is stored. The judge then keeps no
// more than [MaxOwners].
func (j *Judge) Settled() {
	if len(j.owners) > MaxOwners {
		clear(j.owners)
	}
}

// Trim forgets, of more than [MaxOwners], those that the store knows, and returns
// how many it keeps: for those who judge ahead of the store.
func (j *Judge) Trim() int {
	if len(j.owners) > MaxOwners {
		for uid := range j.owners {
			if e := j.epochs.Epoch(uid); e != nil && e.Tenant != "" {
				delete(j.owners, uid)
			}
		}
	}
	return len(j.owners)
}
