// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"errors"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
)

func TestAdmit(t *testing.T) {
	const uid = "0199d0aa-0000-7000-8000-00000000e001"
	fine := profile.Header{MetadataUID: uid, Epoch: uid, Sequence: 1}
	if err := fine.Admit(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{
		"", "x", "../../x", "not\x1b[31ma uuid", "0199D0AA-0000-7000-8000-00000000E001", "0199d0aa-0000-7000-8000-00000000e00", uid + "0",
		"{199d0aa-0000-7000-8000-00000000e00}", "0199d0aa000070008000-00000000e001---", "0199d0aa-0000-7000-8000-00000000e0\n1",
	} {
		for _, h := range []profile.Header{{MetadataUID: name, Epoch: uid, Sequence: 1}, {MetadataUID: uid, Epoch: name, Sequence: 1}} {
			if err := h.Admit(); !errors.Is(err, profile.ErrName) {
				t.Errorf("%+q: %v", name, err)
			}
		}
	}
	for _, n := range []int64{-1, 0, profile.MaxSequence + 1, profile.MaxInteger} {
		h := profile.Header{MetadataUID: uid, Epoch: uid, Sequence: n}
		if err := h.Admit(); !errors.Is(err, profile.ErrName) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
