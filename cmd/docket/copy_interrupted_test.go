// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/copying"
)

// A copy that was interrupted says what it has done and that it goes on. Damage is
// damage all the same.
func TestCopyInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	done := copying.Summary{From: "a", Events: 12, Quarantined: 3, Duplicates: 4}
	damaged := fmt.Errorf("copy from a: %w: commit 2", copying.ErrDamaged)
	for _, tc := range []struct {
		ctx  context.Context
		err  error
		code int
		said string
	}{
		{ctx, fmt.Errorf("copy to b: %w", ctx.Err()), cli.ExitPartial, "interrupted, before the stores were compared: copied 12 events and 3 messages in quarantine; 4 were there"},
		{ctx, damaged, 0, damaged.Error()},
		{t.Context(), errors.New("the disk is full"), 0, "the disk is full"},
	} {
		err := unfinished(tc.ctx, &done, tc.err)
		var exit *cli.Exit
		var hint interface{ Hint() string }
		if errors.As(err, &exit) != (tc.code != 0) || exit != nil && exit.Code != tc.code {
			t.Errorf("%v: %v", tc.err, err)
		}
		if err.Error() != tc.said || !errors.As(err, &hint) || hint.Hint() != "make the same copy again: it goes on where it was" {
			t.Errorf("%v: %v", tc.err, err)
		}
	}
	if err := unfinished(ctx, &done, nil); err != nil {
		t.Error(err)
	}
}

// With -o json the part is an object, too.
func TestCopyFailsInJSON(t *testing.T) {
	var out, errs bytes.Buffer
	if code := cli.Run(root(), []string{"copy", "--from", "nowhere", "--to", t.TempDir(), "-o", "json"}, &out, &errs); code != cli.ExitFailure || out.Len() > 0 {
		t.Errorf("code %d, %s%s", code, &out, &errs)
	}
}
