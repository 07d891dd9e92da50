// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/follow"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// tailFlags are what tail is asked.
type tailFlags struct {
	format string
	follow bool
	once   bool // end when the server does
	last   int
	resume string
	input  string
	filter *eventFilter
	span   *span

	reconnect reading.Reconnect // but for what is told
}

func tailCommand(s *settings) *cobra.Command {
	var o tailFlags
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print events, one sentence each, as they are stored",
		Long: `Print events, one sentence each: who did what, decided by which binding, and
why. While somebody stores events, tail goes on with what comes, unless --last or
--until say where to end. Nothing is shown twice and nothing is left out; an event is
shown as it comes by the stream, moments before it is stored. --since begins with what
happened then.

` + filterHelp + `

When the server stops or the connection is lost, a tail that follows comes back, behind
the last event, as soon as there is a server; a line on standard error says so.
--no-reconnect ends it there.

At its end a tail that followed prints a token on standard error: --resume TOKEN, with
the same flags, goes on behind the last event. Where the server could not wait for
this end, a line says how many events were not sent, and the exit code is 4.

--input-file selects and prints events of a file, or of standard input, in the same way.`,
		Example: `  docket tail                                      what happens now
  docket tail --last 20                            the newest 20, then end
  docket tail --kind outcome --decision deny       denied operations
  docket tail --since 10m --not --kind evaluation  the last ten minutes, and what comes
  docket tail --filter 'duration_ms > 100' -o json --last 5
  docket tail --input-file march.ndjson --method DeleteSandbox`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	f := c.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what comes (default while somebody stores events, unless --last or --until is given)")
	f.BoolVar(&o.once, "no-reconnect", false, "end when the server stops or the connection is lost")
	f.IntVarP(&o.last, "last", "n", 10, "begin with the newest N")
	f.StringVar(&o.resume, "resume", "", "go on behind the last event of the tail that printed this token")
	f.StringVar(&o.input, "input-file", "", "events of this file, - is standard input, in place of a store's")
	o.span = newSpan(f)
	o.filter = newEventFilter(f)
	eventOutputFlag(f, &o.format)
	return c
}

func (o *tailFlags) run(c *cobra.Command, s *settings) error {
	if err := o.check(c); err != nil {
		return err
	}
	expression, done, err := o.filter.asked(c, o.span)
	if err != nil || done {
		return err
	}
	if o.input != "" {
		return o.tailFile(c, o.span.within(expression))
	}
	client, err := s.open(c)
	if err != nil {
		return err
	}
	defer client.Close()
	return o.tail(c, client, o.request(c, client, expression))
}

// check says what cannot be meant together.
func (o *tailFlags) check(c *cobra.Command) error {
	given := func(flags ...string) (n int) {
		for _, f := range flags {
			if c.Flags().Changed(f) {
				n++
			}
		}
		return n
	}
	switch {
	case o.last < 0:
		return cli.Usagef("--last %d: not a number of events", o.last)
	case o.follow && o.span.until != "":
		return cli.Usage(cli.Hint(errors.New("--follow and --until exclude each other"), "--until ends"))
	case given("resume") > 0 && o.resume == "":
		// As of a variable that is not set: to begin anew would leave something out.
		return cli.Usage(cli.Hint(errors.New("--resume: no token"), "leave --resume out to begin anew, with --last or --since"))
	case given("input-file") > 0 && o.input == "":
		return cli.Usage(cli.Hint(errors.New("--input-file: no name of a file"), "- is standard input"))
	case given("last", "since", "resume") > 1:
		return cli.Usage(cli.Hint(errors.New("--last, --since and --resume exclude each other"), "each says where to begin"))
	case given("input-file") > 0 && given("follow", "resume", "no-reconnect") > 0:
		return cli.Usage(errors.New("nothing follows on a file"))
	}
	return nil
}

// request is what is asked of a server, or in its place.
func (o *tailFlags) request(c *cobra.Command, client *reading.Client, expression string) *auditv1.TailRequest {
	if !c.Flags().Changed("follow") {
		o.follow = client.Live && !c.Flags().Changed("last") && o.span.until == ""
	}
	if o.follow && !client.Live {
		fmt.Fprintln(c.ErrOrStderr(), "docket: nobody runs on this data directory, so nothing will follow")
		o.follow = false
	}
	since, _ := o.span.stamps()
	r := &auditv1.TailRequest{Follow: o.follow, Whole: true, Filter: (&span{to: o.span.to}).within(expression), Tenants: o.filter.tenants()}
	switch {
	case o.resume != "":
		r.ResumeToken = o.resume
	case since != nil:
		r.Since = since
	default:
		r.Last = int32(min(o.last, 1<<30))
	}
	return r
}

func (o *tailFlags) tail(c *cobra.Command, client *reading.Client, r *auditv1.TailRequest) error {
	p, err := eventPrinter(c, o.format, o.follow)
	if err != nil {
		return err
	}
	token, missed, rows := "", int64(0), newEventRows()
	for item, err := range o.items(c, client, r) {
		if err != nil {
			printed := p.Close()
			o.goodbye(c, p, token)
			return errors.Join(printed, err)
		}
		if m := item.GetMissed(); m != nil {
			missed += m.GetEvents()
			if err := p.Note(c.ErrOrStderr(), missedLine(m)); err != nil {
				return err
			}
		}
		if g := item.GetGap(); g != nil {
			if err := p.Note(c.ErrOrStderr(), gapLine(g)); err != nil {
				return err
			}
		}
		if raw := item.GetEvent(); raw != nil {
			row, err := rows.row(raw)
			if err != nil {
				return err
			}
			if err := p.Row(row); err != nil {
				return err
			}
		}
		token = item.GetResumeToken() // of what was printed
	}
	if err := p.Close(); err != nil {
		return err
	}
	if o.follow && c.Context().Err() == nil {
		fmt.Fprintf(c.ErrOrStderr(), "docket: the server has stopped, after %s\n", cli.Count(p.Rows(), "event"))
	}
	o.goodbye(c, p, token)
	if missed > 0 {
		return cli.Code(cli.ExitPartial)
	}
	return nil
}

// items are what the tail gives, over as many connections as it takes.
func (o *tailFlags) items(c *cobra.Command, client *reading.Client, r *auditv1.TailRequest) iter.Seq2[*auditv1.TailResponse, error] {
	if o.once {
		return client.Follow(c.Context(), r)
	}
	how := o.reconnect
	how.Lost = func(why error) {
		fmt.Fprintf(c.ErrOrStderr(), "docket: %s; trying again until ^C\n", lostBy(why))
	}
	how.Back = func(why error, attempts int) {
		after := cli.Count(int64(attempts), "attempt")
		if attempts == 1 { // why was not said yet
			after = lostBy(why)
		}
		fmt.Fprintf(c.ErrOrStderr(), "docket: connected again behind the last event, after %s\n", after)
	}
	return client.FollowOn(c.Context(), r, how)
}

func lostBy(why error) string {
	if why == nil {
		return "the server stopped"
	}
	return cli.Escape(why.Error())
}

// missedLine stands where events are missing.
func missedLine(m *auditv1.Missed) string {
	line := fmt.Sprintf("--- %s not sent: %s", cli.Count(m.GetEvents(), "event"), m.GetReason())
	if m.GetResumeToken() != "" {
		line += "; --resume " + m.GetResumeToken() + " begins with the first"
	}
	return line + " ---"
}

// gapLine stands where events are not there.
func gapLine(g *auditv1.Gap) string {
	why := map[string]string{
		follow.GapRefused: "refused by", follow.GapMissing: "missing of", follow.GapHole: "not there yet of", follow.GapWithdrawn: "shown and not stored, of",
	}[g.GetReason()]
	return fmt.Sprintf("--- %s of tenant %s %s %s ---", cli.Count(g.GetCount(), "event"), g.GetTenant(), cmp.Or(why, g.GetReason()+" of"), g.GetEmitter())
}

// goodbye says how much there was, and how to go on.
func (o *tailFlags) goodbye(c *cobra.Command, p *cli.Printer, token string) {
	cli.Interrupted(c.Context(), c.ErrOrStderr(), p.Rows(), "event")
	if token != "" && (o.follow || o.resume != "" || c.Context().Err() != nil) {
		fmt.Fprintf(c.ErrOrStderr(), "resume with --resume %s\n", cli.Escape(token))
	}
}
