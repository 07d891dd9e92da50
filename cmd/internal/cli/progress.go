// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Units of a [Progress].
const (
	UnitBytes = iota + 1
	UnitCount
)

// A Progress is a bar on a terminal, and nothing anywhere else.
type Progress struct {
	mu   sync.Mutex // guards the below: those who work may be many
	bars *mpb.Progress
	bar  *mpb.Bar
}

// NewProgress returns a bar on w, if that is a terminal.
func NewProgress(w io.Writer, name string, unit int) *Progress {
	if !IsTerminal(w) {
		return &Progress{}
	}
	counter := decor.CountersNoUnit(" %d of %d")
	if unit == UnitBytes {
		counter = decor.CountersKibiByte(" % .1f of % .1f")
	}
	p := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	return &Progress{bars: p, bar: p.AddBar(0,
		mpb.PrependDecorators(decor.Name(name)),
		mpb.AppendDecorators(counter),
		mpb.BarRemoveOnComplete())}
}

// Set says how much of how much is done.
func (p *Progress) Set(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.SetTotal(total, false)
		p.bar.SetCurrent(done)
	}
}

// Done takes the bar away.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.bar = nil
	}
}
