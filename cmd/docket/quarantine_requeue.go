// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/natsaccess"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/collector"
)

// requeueOptions are what the flags of requeue say.
type requeueOptions struct {
	all    bool
	url    string
	access natsaccess.Access
	format string
}

func quarantineRequeueCommand(s *settings) *cobra.Command {
	var o requeueOptions
	c := &cobra.Command{
		Use:   "requeue ID... | --all",
		Short: "Put messages of the quarantine on the stream once more",
		Long: `Put messages of the quarantine on the stream once more, after what was in their way
is mended: a docket that knows their schema, an epoch that has come near. They are
judged like any other message, and requeue says what became of each: stored;
duplicate, if it is stored already; refused, for the same reason as before;
quarantined, for another reason and under another ID. The quarantine keeps what it
has, and nothing is stored twice, however often this is done.

The docket that runs over the data directory sends and judges. Where its user on
NATS may not publish as emitters do, name one that may with --nats and --creds;
then, and while nothing runs there, requeue only says what was sent, and says what
became of it when it is run again.

The exit code is 3 when something is refused.`,
		Example: `  docket quarantine requeue 01a1fbbd-b45d-7d1f-9c0e-1f2a3b4c5d6e.1
  docket quarantine requeue --all
  docket quarantine requeue --all --nats nats://nats.example:4222 --creds operator.creds`,
		RunE: func(c *cobra.Command, ids []string) error {
			if o.all == (len(ids) > 0) {
				return cli.Usage(cli.Hint(errors.New("name what to requeue"), "give IDs, as docket quarantine ls prints them, or --all"))
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), o.format, []string{"id", "became", "stream_seq", "event", "as", "reason"}, true)
			if err != nil {
				return err
			}
			refused := false
			for r, err := range o.run(c, s.data, ids) {
				if err != nil {
					return errors.Join(err, p.Close())
				}
				b, err := json.Marshal(r)
				if err != nil {
					return err
				}
				place := ""
				if r.StreamSeq > 0 {
					place = fmt.Sprint(r.StreamSeq)
				}
				row := cli.Row{Cells: []string{r.ID, r.Became, place, r.Event, r.As, r.Reason}, JSON: b}
				if slices.Contains([]string{collector.BecameRefused, collector.BecameQuarantined}, r.Became) {
					refused, row.Colour = true, cli.Yellow
				}
				if err := p.Row(row); err != nil {
					return err
				}
			}
			if err := p.Close(); err != nil {
				return err
			}
			if refused {
				return cli.Code(cli.ExitFound)
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&o.all, "all", false, "all that is in quarantine")
	f.StringVar(&o.url, "nats", "", "URL of a server to send by")
	o.access.Flags(f)
	cli.OutputFlag(f, &o.format)
	return c
}

func (o *requeueOptions) run(c *cobra.Command, dir string, ids []string) iter.Seq2[collector.Requeued, error] {
	if o.url != "" {
		return o.send(c, dir, ids)
	}
	return func(yield func(collector.Requeued, error) bool) {
		client, err := openOwner(c.Context(), dir,
			"start `docket up` there: it judges what is requeued; or send it to the server that it will be connected to, with --nats")
		if err != nil {
			yield(collector.Requeued{}, err)
			return
		}
		defer client.Close()
		for line, err := range client.Requeue(c.Context(), ids) {
			var r collector.Requeued
			if err == nil {
				err = json.Unmarshal(line, &r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// openOwner connects to who collects into dir. The hint says what to do when
// nobody does.
func openOwner(ctx context.Context, dir, hint string) (*reading.Client, error) {
	client, err := reading.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	if !client.Live {
		client.Close()
		return nil, cli.Hint(&datadir.Error{Path: dir, Err: datadir.ErrNotOwned}, "%s", hint)
	}
	return client, nil
}

// send puts messages on the stream without the owner of dir.
func (o *requeueOptions) send(c *cobra.Command, dir string, ids []string) iter.Seq2[collector.Requeued, error] {
	return func(yield func(collector.Requeued, error) bool) {
		fail := func(err error) { yield(collector.Requeued{}, err) }
		r, err := openQuarantine(c, dir, "quarantine requeue --nats")
		if err != nil {
			fail(err)
			return
		}
		defer r.Close()
		for _, id := range ids {
			if _, err := findHeld(c.Context(), r, id); err != nil {
				fail(err)
				return
			}
		}
		opts, err := o.access.Options()
		if err != nil {
			fail(err)
			return
		}
		opts = append(opts, nats.Name("docket quarantine requeue"), nats.Timeout(5*time.Second))
		conn, err := nats.Connect(o.url, opts...)
		if err != nil {
			fail(cli.Hint(fmt.Errorf("connect to %s: %w", requestpath.Redacted(o.url), err), natsaccess.Advice))
			return
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			fail(fmt.Errorf("open JetStream: %w", err))
			return
		}
		for h, err := range r.Quarantined(c.Context()) {
			if err != nil {
				fail(err)
				return
			}
			if !o.all && !slices.Contains(ids, h.ID) {
				continue
			}
			seq, err := collector.Send(c.Context(), js, &h)
			if err != nil {
				fail(cli.Hint(err, "may this user publish %s?", cli.Escape(h.Subject)))
				return
			}
			if !yield(collector.Requeued{ID: h.ID, Became: collector.BecameSent, StreamSeq: seq}, nil) {
				return
			}
		}
	}
}
