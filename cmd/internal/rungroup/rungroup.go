// SPDX-License-Identifier: Apache-2.0

// Package rungroup holds the goroutines of a process that has to stop in a
// certain order. An errgroup cancels all at once; here each part is stopped by
// itself, when what depends on it has stopped.
package rungroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A Group runs parts. The zero Group is ready for use.
type Group struct {
	once   sync.Once
	failed chan error
}

// A Part is something that runs until it is stopped.
type Part struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // owned by the part until done
}

func (g *Group) init() { g.once.Do(func() { g.failed = make(chan error, 1) }) }

// Failed tells the error of the first part that ended without being stopped.
func (g *Group) Failed() <-chan error {
	g.init()
	return g.failed
}

// Go starts a part. Its context is cancelled by [Part.Stop] and by nothing else.
func (g *Group) Go(name string, run func(context.Context) error) *Part {
	g.init()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Part{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		err := run(ctx)
		if ctx.Err() != nil {
			if err != nil {
				p.err = fmt.Errorf("stop %s: %w", name, err)
			}
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		select {
		case g.failed <- fmt.Errorf("%s: %w", name, err):
		default: // one reason is enough
		}
	}()
	return p
}

// Ended is closed when the part has ended, by itself or stopped; of a nil Part it never is.
func (p *Part) Ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// Stop ends the part and waits for it. It may be called on a nil Part and more
// than once.
func (p *Part) Stop() error {
	if p == nil {
		return nil
	}
	p.cancel()
	<-p.done
	return p.err
}
