// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
	"github.com/docket-audit/docket/cmd/internal/reading"
)

func statusOf(ctx context.Context, client *reading.Client) (*report, error) {
	b, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	return r, nil
}

// read takes the events out of the files.
func (i *ingesting) read(ctx context.Context) error {
	i.bar = &cli.Progress{}
	total := sizeOf(i.files)
	if total > 0 {
		i.bar = cli.NewProgress(i.stderr, "ingesting", cli.UnitBytes)
		defer i.bar.Done()
	}
	var done int64
	for _, name := range i.files {
		in, err := eventfile.Open(name, i.stdin)
		if err != nil {
			i.skip(name, 0, err)
			continue
		}
		r := eventfile.NewReader(in, eventfile.Options{BeforeRead: func() { i.bar.Set(done+in.Done(), total) }})
		err = i.events(ctx, name, r)
		done += in.Done()
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (i *ingesting) events(ctx context.Context, name string, r *eventfile.Reader) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var v judgement
		var data []byte
		v, data, more = next(r, name)
		switch {
		case v.file == "" || v.bundle: // around the events of a bundle there is none
			continue
		case v.err != nil:
			i.skip(name, v.line, v.err)
			continue
		}
		f, err := i.convert.Convert(data)
		if err != nil {
			i.skip(name, v.line, err)
			continue
		}
		f.Line = v.line
		f.File = name
		i.summary.Events++
		if f.Issues > 0 {
			i.summary.Nonconformant++
		}
		if f.Wrapped {
			i.summary.Wrapped++
		}
		if err := i.take.Add(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// skip reports what cannot be taken in, and counts it.
func (i *ingesting) skip(name string, line int64, err error) {
	i.summary.Skipped++
	where := name
	if line > 0 {
		where = fmt.Sprintf("%s:%d", name, line)
	}
	fmt.Fprintf(i.stderr, "docket: %s: %s\n", cli.Escape(where), cli.Escape(err.Error()))
}

// report says how it went, also of a run that was cut short.
func (i *ingesting) report(w io.Writer) error {
	if i.take == nil {
		return nil
	}
	s := &i.summary
	s.Stored, s.Duplicates = i.take.Stored, i.take.Duplicates
	if i.o.format == cli.JSON {
		return cli.PrintJSON(w, s)
	}
	stored := "stored"
	if !s.Settled {
		stored = "sent, of which some may be on their way to the store"
	}
	_, err := fmt.Fprintf(w, "%d events: %d %s, %d stored before; %d do not conform, %d of them wrapped; %d parts skipped\n",
		s.Events, s.Stored, stored, s.Duplicates, s.Nonconformant, s.Wrapped, s.Skipped)
	return err
}

func (i *ingesting) verdict() error {
	switch s := &i.summary; {
	case s.Skipped > 0:
		return cli.Code(cli.ExitPartial)
	case s.Nonconformant > 0:
		return cli.Code(cli.ExitFound)
	}
	return nil
}
