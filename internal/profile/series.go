// SPDX-License-Identifier: Apache-2.0

package profile

import "fmt"

// A Series reads many events, one after the other: an event that is like one before it
// is not parsed again. What it says of an event is what [Check] and [Parse] say of it,
// whatever it has read before. The zero value is ready; one goroutine at a time may use
// it.
//
// What events say one after the other is one string in the headers of all of them. The
// strings of a header share memory with nothing else: each may be kept on its own.
type Series struct {
	shelf

	// missed is by how many more of the last events fitted no mould than fitted one,
	// and rest how many of the next ones are read without looking for one: events
	// of which no two are alike are not to cost more than on their own.
	missed, rest int

	held   scanned // the last event
	digest digest
}

// A series keeps more forms than a tree, and smaller ones.
const (
	seriesMoulds = 64
	seriesMould  = 16 << 10 // bytes of an event that is kept
	seriesNodes  = 1024     // that there is room for
)

// A series rests when so many missed, for as many events. It gets over no more.
const (
	manyMissed = 2 * seriesMoulds
	mostMissed = 2 * manyMissed
)

// Check is the package's [Check].
func (k *Series) Check(raw []byte) (Header, error) {
	s, err := k.scan(raw, nil)
	if err != nil {
		return Header{}, fmt.Errorf("check event: %w", err)
	}
	if err := s.check(raw, &k.digest); err != nil {
		return Header{}, err
	}
	return s.Header, nil
}

// Parse is the package's [Parse].
func (k *Series) Parse(raw []byte) (Header, error) {
	s, err := k.scan(raw, nil)
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		return Header{}, fmt.Errorf("parse event: %w", err)
	}
	return s.Header, nil
}

// scan is scanFor, by moulds. What it returns lasts until the next event.
func (k *Series) scan(raw []byte, seals *form) (s *scanned, err error) {
	s = &k.held
	if k.rest > 0 || len(raw) > seriesMould {
		k.rest = max(k.rest-1, 0)
		*s, err = scanFor(raw, seals, seals != nil)
		return s, err
	}
	if m := k.find(raw, seals); m != nil {
		k.missed = max(k.missed-1, 0)
		k.use(m)
		m.turn(raw, s)
		return s, nil
	}
	if k.missed = min(k.missed+1, mostMissed); k.missed >= manyMissed {
		k.rest = k.missed
	}
	return s, k.read(raw, seals, s)
}

// read reads raw, and makes it a mould.
func (k *Series) read(raw []byte, seals *form, s *scanned) error {
	m := k.spare(seriesMoulds)
	m.reset()
	m.seals, m.growing, m.flat = seals, true, true
	sure, err := m.readOrJudge(raw)
	if err == nil {
		m.strings(false)
		*s = m.s
		m.settle(&s.Header)
	}
	m.b = nil
	switch {
	case cap(m.nodes) > seriesNodes:
		*m = mould{}
	case sure && err == nil:
		m.learn(raw, k.newID())
		m.remember()
		k.lead(m)
		k.use(m)
	}
	return err
}

// A memory is what a slot says in a mould that stays what it is.
type memory struct {
	number int64  // what the mould's own event says
	said   string // the same
	again  string // what was said last, and may be said again
	brief  bool   // nobody keeps it
}

// maxAgain bounds what is remembered to be said again.
const maxAgain = 128

// remember has the slots remember what they say.
func (m *mould) remember() {
	m.turned = m.turned[:0]
	for i := range m.slots {
		s := &m.slots[i]
		switch {
		case s.whole != nil:
			s.number = *s.whole
		case s.small != nil:
			s.number = int64(*s.small)
		default:
			s.said, s.again = *s.text, ""
			s.brief = s.text == &m.s.chain || s.text == &m.s.attestation
		}
	}
}

// turn makes s what raw is, which fits.
func (m *mould) turn(raw []byte, s *scanned) {
	for _, i := range m.turned {
		if t := &m.slots[i]; t.text != nil {
			*t.text = t.said
		} else {
			t.count(t.number)
		}
	}
	m.turned = m.turned[:0]
	for _, c := range m.changes {
		k := m.marks[c.node]
		if k.is != filled {
			continue
		}
		m.turned = append(m.turned, k.slot)
		t := &m.slots[k.slot]
		if t.text == nil {
			n, _ := integer(raw[c.at:c.end])
			t.count(n)
			continue
		}
		t.sayAgain(raw[c.at+1 : c.end-1])
	}
	*s = m.s
	m.settle(&s.Header)
	s.cut, s.cutEnd, s.gap.at = m.moved(s.cut), m.moved(s.cutEnd), m.moved(s.gap.at)
	s.exact = m.expected != nil && writes(s, m.expected, raw, s.Fingerprint)
}

// sayAgain makes the slot's text said, by the string that is there of it.
func (s *slot) sayAgain(said []byte) {
	switch {
	case s.brief:
		s.say(said)
	case s.again == string(said):
		*s.text = s.again
	default:
		*s.text = string(said)
		if len(said) <= maxAgain {
			s.again = *s.text
		}
	}
}

// moved returns where in the other event the place at is, which is in no value that
// differs.
func (m *mould) moved(at int) int {
	by := 0
	for _, c := range m.changes {
		end := int(m.nodes[c.node].end)
		if end > at {
			break
		}
		by = int(c.end) - end
	}
	return at + by
}
