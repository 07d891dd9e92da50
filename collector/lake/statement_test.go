// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
)

func TestStatementsMustBeCanonical(t *testing.T) {
	dir := filled(t, 1)
	b, err := lake.ReadStatement(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lake.ParseStatement(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Encode()
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("read and written again it differs (%v)", err)
	}
	for name, other := range map[string]string{
		"space":        string(b) + "\n",
		"unknown name": strings.Replace(string(b), `"number":`, `"mumber":`, 1),
		"order":        strings.Replace(string(b), `{"added":`, `{"zadded":[],"added":`, 1),
		"not JSON":     "{",
	} {
		if _, err := lake.ParseStatement([]byte(other)); !errors.Is(err, lake.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A statement that does not follow the one before it changes nothing.
func TestApplyKeepsTheOrder(t *testing.T) {
	dir := filled(t, 3)
	m := new(lake.Manifest)
	for _, n := range []uint64{2, 1, 1, 3, 2, 3} {
		b, err := lake.ReadStatement(dir, n)
		if err != nil {
			t.Fatal(err)
		}
		before := m.Number
		if err := m.Apply(b); (err == nil) != (n == before+1) {
			t.Errorf("statement %d after %d: %v", n, before, err)
		}
	}
	if m.Number != 3 || m.Rows() != 9 {
		t.Errorf("statement %d, %d rows", m.Number, m.Rows())
	}
}

func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(`{"added":[],"counts":[],"epochs":{},"number":1,"prev":"","quarantined":[],"removed":[],"stream_seq":0,"time":0}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := lake.ParseStatement(b)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q is taken for %q (%v)", b, again, err)
		}
	})
}
