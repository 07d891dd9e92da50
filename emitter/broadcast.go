// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"sync"
)

// A broadcast wakes everybody who waits for a condition. The zero value works.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // closed by the next notify; guarded by mu
}

// changed returns a channel that the next notify closes. Take it before looking
// at the condition.
func (b *broadcast) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// wait returns nil once met, and ctx's error when that ends before.
func (b *broadcast) wait(ctx context.Context, met func() bool) error {
	for {
		changed := b.changed()
		if met() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
