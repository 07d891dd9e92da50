// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"runtime"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
)

// A validateStream takes events out of files, one after the other, and has them
// judged by as many as there are cores. One goroutine reads, some judge, and the
// caller's writes, in the order of the input.
type validateStream struct {
	files []string
	stdin io.Reader
	judge *eventJudge
	bar   *cli.Progress
	size  int64 // of all files, 0 when unknown
}

// A batch is what came with one read of a file: so no event waits for another
// that is still to be written by somebody.
type batch struct {
	judgements []judgement
	data       []byte
	ends       []int         // of each judgement's event in data
	done       chan struct{} // closed when it is judged
}

// batchBytes and batchEvents bound what waits: the memory that a few batches
// take, and the time. The last event of a batch may be as long as events can be.
const (
	batchBytes  = 64 << 10
	batchEvents = 256
)

func newBatch() *batch {
	return &batch{data: make([]byte, 0, batchBytes+batchBytes/4), done: make(chan struct{})}
}

// add takes an event, which is copied, or an error with no data.
func (b *batch) add(v judgement, data []byte) {
	b.judgements = append(b.judgements, v)
	b.data = append(b.data, data...)
	b.ends = append(b.ends, len(b.data))
}

func (b *batch) full() bool { return len(b.data) >= batchBytes || len(b.judgements) >= batchEvents }

func (b *batch) judge(j *eventJudge) {
	start := 0
	for i, end := range b.ends {
		if v := &b.judgements[i]; v.err == nil {
			j.event(v, b.data[start:end])
		}
		start = end
	}
	b.data, b.ends = nil, nil // what waits to be written needs them no more
	close(b.done)
}

// run reports on everything. When it returns early, because ctx has ended or out
// cannot be written, the goroutine that reads may still wait for its input, which
// nothing can call off; it ends with the read, or the process.
func (s *validateStream) run(ctx context.Context, out *validateReport) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	work, ordered := make(chan *batch), make(chan *batch, workers)
	for range workers {
		go func() {
			for b := range work {
				b.judge(s.judge)
			}
		}()
	}
	go func() {
		defer close(ordered)
		defer close(work)
		s.read(func(b *batch) bool {
			for _, to := range []chan *batch{ordered, work} {
				select {
				case to <- b:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
	}()
	for {
		var b *batch
		select {
		case b = <-ordered:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b == nil {
			return ctx.Err()
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range b.judgements {
			if err := out.add(&b.judgements[i]); err != nil {
				return err
			}
		}
		if len(ordered) > 0 {
			continue
		}
		if err := out.printer.Flush(); err != nil {
			return err
		}
	}
}

// read sends what the files hold, until send says that nobody wants more.
func (s *validateStream) read(send func(*batch) bool) {
	var done int64 // bytes of the files before
	wanted := true
	for _, name := range s.files {
		b := newBatch()
		pass := func() {
			if len(b.judgements) > 0 {
				wanted = wanted && send(b)
				b = newBatch()
			}
		}
		in, err := eventfile.Open(name, s.stdin)
		if err != nil {
			b.add(judgement{file: name, index: -1, err: err}, nil)
			pass()
			continue
		}
		r := eventfile.NewReader(in, eventfile.Options{BeforeRead: func() {
			s.bar.Set(done+in.Done(), s.size)
			pass()
		}})
		for more := true; more && wanted; {
			var v judgement
			var data []byte
			if v, data, more = next(r, name); v.file != "" {
				b.add(v, data) // to the batch of now: next may have passed one on
			}
			if b.full() {
				pass()
			}
		}
		pass()
		done += in.Done()
		in.Close()
		if !wanted {
			return
		}
	}
}

// next returns what r says next of the file with the given name, if anything,
// and whether there may be more.
func next(r *eventfile.Reader, name string) (judgement, []byte, bool) {
	e, err := r.Next()
	var fault *eventfile.Fault
	switch {
	case err == nil:
		return judgement{file: name, index: e.Index, line: e.Line, bundle: e.Bundle}, e.Data, true
	case errors.As(err, &fault):
		return judgement{file: name, index: fault.Index, line: fault.Line, err: errors.New(fault.Reason)}, nil, true
	case errors.Is(err, io.EOF):
		return judgement{}, nil, false
	default:
		return judgement{file: name, index: -1, err: &fs.PathError{Op: "read", Path: name, Err: err}}, nil, false
	}
}
