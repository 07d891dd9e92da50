// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"strconv"
	"testing"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

func message(e store.Entry) Message {
	h := e.Header
	return Message{Subject: profile.Subject(profile.Prefix, h), Data: e.Raw, Headers: map[string][]string{
		profile.HeaderEventUID: {h.MetadataUID}, profile.HeaderEpoch: {h.Epoch}, profile.HeaderSequence: {strconv.FormatInt(h.Sequence, 10)},
	}}
}

func TestEvent(t *testing.T) {
	j := New(profile.Prefix, memory.New(memory.Options{}))
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	start := e.Start()
	if h, err := j.Event(message(start)); err != nil || h != start.Header {
		t.Fatalf("an event: %+v, %v", h, err)
	}
	foreign := storetest.NewEpoch(t, "acme", "gateway-1")
	foreign.UID = e.UID
	far := e.Fork()
	far.Skip(MaxJump + 1)
	subject, headers := message(e.Stop()), message(start)
	subject.Subject = "docket.activity.x"
	headers.Headers[profile.HeaderSequence] = []string{"7"}
	bare := message(start)
	bare.Headers = nil
	for name, c := range map[string]struct {
		m    Message
		want error
	}{
		"bytes":            {Message{Data: []byte("{}")}, profile.ErrIncomplete},
		"subject":          {subject, ErrSubject},
		"headers":          {headers, ErrHeaders},
		"no headers":       {bare, ErrHeaders},
		"another's epoch":  {message(foreign.Start()), ErrOwner},
		"closes another's": {message(storetest.NewEpoch(t, "acme", "gateway-1").Start(store.Closed{Epoch: e.UID, LastSequence: 1})), ErrOwner},
		"jump":             {message(far.Stop()), ErrJump},
	} {
		if _, err := j.Event(c.m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What is refused may claim to be an event only of the sender's own epoch.
func TestClaim(t *testing.T) {
	j := New(profile.Prefix, memory.New(memory.Options{}))
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	m := message(e.Start())
	if epoch, n := j.Claim(m); epoch != "" || n != 0 {
		t.Errorf("the claim of an epoch that nobody knows: %q, %d", epoch, n)
	}
	if _, err := j.Event(m); err != nil {
		t.Fatal(err)
	}
	if epoch, n := j.Claim(m); epoch != e.UID || n != 1 {
		t.Errorf("the claim of its own: %q, %d", epoch, n)
	}
	m.Subject = "docket.activity.acme.x.y.z.w.gateway-1"
	if epoch, n := j.Claim(m); epoch != "" || n != 0 {
		t.Errorf("the claim of another's: %q, %d", epoch, n)
	}
}

// What the store knows need not be kept, and is known all the same.
func TestForgets(t *testing.T) {
	st := memory.New(memory.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	if _, err := st.Commit(t.Context(), store.Batch{Entries: []store.Entry{e.Start()}}); err != nil {
		t.Fatal(err)
	}
	j := New(profile.Prefix, st)
	fill := func() {
		j.Owner(e.UID)
		for range MaxOwners {
			j.owners[storetest.NewUID()] = &origin{}
		}
	}
	fill()
	if n := j.Trim(); n != MaxOwners || j.owners[e.UID] != nil {
		t.Errorf("trimmed to %d", n)
	}
	fill()
	j.Settled()
	if n := len(j.owners); n > MaxOwners {
		t.Errorf("%d are kept", n)
	}
	if o, known := j.Owner(e.UID); !known || o != (Owner{"acme", "gateway-0"}) {
		t.Errorf("the owner of a stored epoch is %+v", o)
	}
	if err := j.owners[e.UID].may(Owner{"acme", "other"}, 2); !errors.Is(err, ErrOwner) || j.owners[e.UID].last != 1 {
		t.Errorf("another may: %v", err)
	}
}
