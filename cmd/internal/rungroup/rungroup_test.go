// SPDX-License-Identifier: Apache-2.0

package rungroup

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPartsStopInTheOrderOfTheirCaller(t *testing.T) {
	var g Group
	var order []string
	wait := func(name string) *Part {
		return g.Go(name, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name) // Stop waits, so this is alone
			return nil
		})
	}
	a, b := wait("a"), wait("b")
	if err := errors.Join(b.Stop(), a.Stop(), a.Stop(), (*Part)(nil).Stop()); err != nil {
		t.Error(err)
	}
	if len(order) != 2 || order[0] != "b" {
		t.Errorf("stopped in order %v", order)
	}
	select {
	case err := <-g.Failed():
		t.Errorf("a stopped part failed: %v", err)
	default:
	}
}

func TestFirstFailureIsTold(t *testing.T) {
	var g Group
	cause := errors.New("cause")
	bad := g.Go("bad", func(context.Context) error { return cause })
	if err := <-g.Failed(); !errors.Is(err, cause) || err.Error() != "bad: cause" {
		t.Errorf("Failed tells %v", err)
	}
	idle := g.Go("idle", func(context.Context) error { return nil })
	if err := <-g.Failed(); err == nil || err.Error() != "idle: ended by itself" {
		t.Errorf("Failed tells %v", err)
	}
	if err := errors.Join(bad.Stop(), idle.Stop()); err != nil {
		t.Errorf("a failure is told twice: %v", err)
	}
	late := g.Go("late", func(ctx context.Context) error { <-ctx.Done(); return cause })
	if err := late.Stop(); !errors.Is(err, cause) {
		t.Errorf("Stop tells %v", err)
	}
}
