// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Message is an event as the stream has it.
type Message struct {
	Subject string
	Header  map[string][]string
	Raw     []byte
}

// A History is what a stream or a store amounts to: epochs, without repetitions.
type History struct {
	Messages int
	// Faults are what must never be, whatever happened, in plain words.
	Faults []string

	epochs map[string][]Event
	order  []string
	uids   map[string]bool
	names  map[string]int // by payload, how many events have it
}

// Read judges messages in their order: each is what was sealed, each epoch
// begins with its start, goes on without a gap and without a break of its hash
// chain, and a repetition has the same bytes.
func Read(messages []Message) *History {
	h := &History{Messages: len(messages), epochs: map[string][]Event{}, uids: map[string]bool{}, names: map[string]int{}}
	for i, m := range messages {
		e, err := Parse(m.Raw)
		if err != nil {
			h.fault("message %d: %v", i+1, err)
			continue
		}
		h.carrier(i+1, m, e)
		h.take(e)
	}
	return h
}

func (h *History) fault(format string, args ...any) {
	h.Faults = append(h.Faults, fmt.Sprintf(format, args...))
}

// carrier compares what carries an event with the event.
func (h *History) carrier(n int, m Message, e Event) {
	tokens := strings.Split(m.Subject, ".")
	if len(tokens) < 5 || tokens[2] != e.Tenant || tokens[3] != e.Kind || tokens[len(tokens)-1] != e.Emitter {
		h.fault("message %d: subject %s is not of event %s", n, m.Subject, e.UID)
	}
	for name, want := range map[string]string{"Docket-Event-Uid": e.UID, "Docket-Epoch": e.Epoch, "Docket-Sequence": strconv.FormatInt(e.Sequence, 10)} {
		if got := m.Header[name]; len(got) != 1 || got[0] != want {
			h.fault("message %d: %s is %q, the event has %s", n, name, got, want)
		}
	}
}

func (h *History) take(e Event) {
	have, known := h.epochs[e.Epoch]
	if !known {
		h.order = append(h.order, e.Epoch)
	}
	n := int64(len(have))
	switch {
	case e.Sequence < 1:
		h.fault("epoch %s: sequence %d", e.Epoch, e.Sequence)
		return
	case e.Sequence <= n:
		if !bytes.Equal(have[e.Sequence-1].Raw, e.Raw) {
			h.fault("epoch %s: sequence %d came twice with other bytes", e.Epoch, e.Sequence)
		}
		return
	case e.Sequence > n+1:
		h.fault("epoch %s: sequence %d follows %d", e.Epoch, e.Sequence, n)
		return
	}
	if h.uids[e.UID] {
		h.fault("event uid %s came twice", e.UID)
	}
	h.uids[e.UID] = true
	if e.Payload != "" {
		if h.names[e.Payload]++; h.names[e.Payload] > 1 {
			h.fault("%s was offered once and is two events", e.Payload)
		}
	}
	h.place(have, e)
	h.epochs[e.Epoch] = append(have, e)
}

// place checks e against what came before it in its epoch.
func (h *History) place(have []Event, e Event) {
	if (e.Lifecycle == "start") != (len(have) == 0) {
		h.fault("epoch %s: sequence %d is lifecycle %q", e.Epoch, e.Sequence, e.Lifecycle)
	}
	if e.Head != nil && (len(have) == 0 || *e.Head != endOf(have)) {
		h.fault("epoch %s: the head at %d is untrue: %+v", e.Epoch, e.Sequence, *e.Head)
	}
	if len(have) == 0 {
		if e.Prev != "" {
			h.fault("epoch %s: its first event follows another", e.Epoch)
		}
		return
	}
	last := have[len(have)-1]
	if last.Lifecycle == "stop" {
		h.fault("epoch %s: sequence %d follows its stop", e.Epoch, e.Sequence)
	}
	if e.Prev != last.Fingerprint || e.PrevUID != last.UID {
		h.fault("epoch %s: the hash chain is broken at %d", e.Epoch, e.Sequence)
	}
	if e.Tenant != last.Tenant || e.Emitter != last.Emitter {
		h.fault("epoch %s: it changes hands at %d", e.Epoch, e.Sequence)
	}
}

func endOf(have []Event) Close {
	last := have[len(have)-1]
	return Close{last.Epoch, last.Sequence, last.Fingerprint}
}

// Epochs returns the epochs' uids in the order of their first event.
func (h *History) Epochs() []string { return h.order }

// Events returns the events of one epoch.
func (h *History) Events(epoch string) []Event { return h.epochs[epoch] }

// All calls visit for every event.
func (h *History) All(visit func(Event)) {
	for _, epoch := range h.order {
		for _, e := range h.epochs[epoch] {
			visit(e)
		}
	}
}

// Has says whether an event with this payload is there.
func (h *History) Has(payload string) bool { return h.names[payload] > 0 }

// Ended judges how epochs end, once no emitter runs any more: by a stop, or a
// later start of its tenant that says where, truly.
func (h *History) Ended() (stopped, crashed int) {
	closed := map[string]Close{}
	h.All(func(e Event) {
		for _, c := range e.Closes {
			if _, twice := closed[c.Epoch]; twice {
				h.fault("epoch %s is closed twice", c.Epoch)
			}
			closed[c.Epoch] = c
			if of := h.epochs[c.Epoch]; len(of) == 0 {
				h.fault("epoch %s is closed, and not there", c.Epoch)
			} else if of[0].Tenant != e.Tenant {
				h.fault("epoch %s of %s is closed by one of %s", c.Epoch, of[0].Tenant, e.Tenant)
			}
		}
	})
	for _, epoch := range h.order {
		have := h.epochs[epoch]
		c, said := closed[epoch]
		switch {
		case have[len(have)-1].Lifecycle == "stop":
			stopped++
			if said {
				h.fault("epoch %s stopped, and a later start closes it", epoch)
			}
		case !said:
			h.fault("epoch %s ends at %d with neither a stop nor a word of a later start", epoch, len(have))
		case c != endOf(have):
			crashed++
			h.fault("epoch %s ends at %d, and a later start says %d", epoch, len(have), c.Sequence)
		default:
			crashed++
		}
	}
	return stopped, crashed
}

// Lost returns, in words, the lines whose event is not here with the very bytes
// that were promised.
func (h *History) Lost(lines []Line) (lost []string) {
	for _, l := range lines {
		if l.Offered {
			continue
		}
		have := h.epochs[l.Epoch]
		if l.Sequence < 1 || l.Sequence > int64(len(have)) {
			lost = append(lost, fmt.Sprintf("%s: spooled as %d of epoch %s, which has %d", l.Payload, l.Sequence, l.Epoch, len(have)))
			continue
		}
		e := have[l.Sequence-1]
		if sum := sha256.Sum256(e.Raw); hex.EncodeToString(sum[:]) != l.SHA256 || e.Payload != l.Payload {
			lost = append(lost, fmt.Sprintf("%s: %d of epoch %s has other bytes", l.Payload, l.Sequence, l.Epoch))
		}
	}
	return lost
}

// Gaps sums up what gap findings state, by reason.
func (h *History) Gaps() map[string]int64 {
	gaps := map[string]int64{}
	h.All(func(e Event) {
		if e.GapReason != "" {
			gaps[e.GapReason] += e.GapCount
		}
	})
	return gaps
}

// Lifecycles counts the emitter's own events by what they tell.
func (h *History) Lifecycles() map[string]int {
	count := map[string]int{}
	h.All(func(e Event) {
		if e.Lifecycle != "" {
			count[e.Lifecycle]++
		}
	})
	return count
}

// First returns the first few of words, for a report.
func First(words []string) string {
	const few = 8
	more := ""
	if len(words) > few {
		more = fmt.Sprintf("\n... and %d more", len(words)-few)
	}
	return strings.Join(slices.Clone(words[:min(few, len(words))]), "\n") + more
}
