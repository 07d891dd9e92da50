// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/docket-audit/docket/interceptor"
)

// statingLimit bounds how long a reload waits until its plan is stated.
const statingLimit = 10 * time.Second

// A recordError refuses a file by which other things would be left out of the
// record than by the one in force.
type recordError struct{ keys []string }

func (e *recordError) Error() string {
	return fmt.Sprintf("the file changes what is left out of the record (%s), which takes effect at a start", strings.Join(e.keys, ", "))
}

// Hint tells what to do about it.
func (e *recordError) Hint() string { return "restart docket to take the whole file" }

// errClosing refuses a reload of what stops.
var errClosing = errors.New("docket is stopping")

// A statedError is why a plan is not in force that may already be recorded as
// being so.
type statedError struct{ error }

func (e statedError) Unwrap() error { return e.error }

// Reload reads the configuration anew and puts its chain in force for the calls
// that come from now on, with new connections to its interceptors. On an error
// what is in force stays, and an event says why.
//
// What reloads is the plan; what else changed in the file is named in the
// [Change] and in the log, and waits for the next start. Where what is left out of
// the record changed, nothing reloads.
func (p *Path) Reload(ctx context.Context) (*Change, error) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	select {
	case <-p.closed:
		return nil, fmt.Errorf("reload chain: %w", errClosing)
	default:
	}
	change, err := p.reload(ctx)
	if err != nil {
		err = fmt.Errorf("reload chain: %w", err)
		p.refuse(context.WithoutCancel(ctx), err)
		return nil, err
	}
	return change, nil
}

// untilClosed ends ctx when the path is closed, so that nobody who stops docket
// waits for an interceptor that does not answer.
func (p *Path) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-p.closed:
			cancel(errClosing)
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(nil); waiting.Wait() }
}

// refuse records that a plan was refused. Where it may be on record that the
// plan was in force, it is then said again which one is.
func (p *Path) refuse(ctx context.Context, err error) {
	inForce := p.chain.Plan()
	p.log.Error("the chain is as it was", "error", err)
	p.rejected(ctx, err, inForce)
	if errors.As(err, new(statedError)) {
		p.activated(ctx, inForce)
	}
}

func (p *Path) reload(ctx context.Context) (*Change, error) {
	now, err := p.cfg.Again()
	if err != nil {
		return nil, err
	}
	l, err := p.load(ctx)
	if err != nil {
		p.signer.settle(false)
		return nil, err
	}
	change, err := p.swap(ctx, l)
	p.signer.settle(err == nil)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	change.Warnings = append(change.Warnings, l.Warnings...)
	change.Restart = p.untaken(now, l.File)
	if len(change.Restart) > 0 {
		p.log.Warn("what changed in these keys takes effect after a restart only", "keys", change.Restart)
	}
	p.log.Warn("the chain is reloaded", "plan", change.After, "changed", change.Plan())
	return change, nil
}

// swap puts a file's plan in the place of the one in force, and closes the old
// file when its last call is over. A plan that says what the old one said is
// put in force all the same: its connections are new, and so are the
// certificates and tokens that they were made with.
func (p *Path) swap(ctx context.Context, l *loaded) (*Change, error) {
	// What cannot run must not be stated to be in force. The plan of a chain has
	// its defaults written out, which its digest is of.
	next, err := interceptor.New(l.File.Plan, interceptor.Discard)
	if err != nil {
		return nil, err
	}
	// A file that has more captured and more left out must not be taken by half.
	if keys := p.recordKeys(l.File); len(keys) > 0 {
		return nil, &recordError{keys}
	}
	plan, old := next.Plan(), p.chain.Plan()
	if err := p.check(ctx, plan); err != nil {
		return nil, err
	}
	change, err := compare(old, plan)
	if err != nil {
		return nil, err
	}
	if change.Plan() {
		// From here on it is not for the one who asked to give up.
		stating, cancel := context.WithTimeout(context.WithoutCancel(ctx), statingLimit)
		defer cancel()
		if err := p.activate(stating, plan); err != nil {
			return nil, statedError{err}
		}
	}
	retired, err := p.chain.Swap(l.File.Plan)
	if err != nil {
		return nil, statedError{err}
	}
	l.denies = denying(plan)
	was := p.file.Swap(l)
	p.closing.Go(func() {
		<-retired
		if err := was.Close(); err != nil {
			p.log.Warn("close the interceptors of the old chain", "error", err)
		}
	})
	return change, nil
}
