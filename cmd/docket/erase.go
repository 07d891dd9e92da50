// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/collector/retention"
)

// leave has what an order is for done by the owner of the directory, or, where
// nobody owns it, by do. It returns all that was done.
func (o *offlineVerb) leave(c *cobra.Command, action string, order any, do func(context.Context, *recordpath.Stores) (retention.Left, error)) (all retention.Left, err error) {
	asked, err := o.ask(c, action, order, func(line []byte) error {
		var l leftTotal
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		if l.Total {
			all = l.Left
		}
		return nil
	})
	if err != nil || asked {
		return all, err
	}
	dir, err := o.own()
	if err != nil {
		return all, err
	}
	err = o.stores(c, dir, func(ctx context.Context, stores *recordpath.Stores) error {
		all, err = do(ctx, stores)
		return err
	})
	return all, errors.Join(err, dir.Close())
}

// ask has the living owner of the directory do something, if there is one.
func (o *offlineVerb) ask(c *cobra.Command, action string, order any, line func([]byte) error) (asked bool, err error) {
	client, err := openOwner(c.Context(), o.data, "")
	if err != nil {
		return false, nil //nolint:nilerr // nobody runs there, or what is wrong is told by who opens it
	}
	defer client.Close()
	for b, err := range client.Act(c.Context(), action, order) {
		if err == nil {
			err = line(b)
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// whoOrders names the user who gives an order.
func whoOrders() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// selectionFlags are the flags that say which events.
type selectionFlags struct{ subject, tenant, operation, since, until, before string }

func (f *selectionFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.subject, "subject", "", `events about a user, as in "user:alice"`)
	c.Flags().StringVar(&f.tenant, "tenant", "", "events of this tenant")
	c.Flags().StringVar(&f.operation, "operation", "", "events of the operation with this uid")
	c.Flags().StringVar(&f.since, "since", "", "events from this time on: 2026-10-28, 2026-10-28T06:00:00Z, yesterday, or 30d for that long ago")
	c.Flags().StringVar(&f.until, "until", "", "events before this time")
	c.Flags().StringVar(&f.before, "before", "", "the same as --until")
}

func (f *selectionFlags) selection() (s retention.Selection, err error) {
	s.Tenant, s.Operation = f.tenant, f.operation
	if f.subject != "" {
		if s.Subject, err = retention.ParseSubject(f.subject); err != nil {
			return s, cli.Usage(err)
		}
	}
	if f.until != "" && f.before != "" {
		return s, cli.Usage(errors.New("--until and --before are the same: give one"))
	}
	between := span{since: f.since, until: cmp.Or(f.until, f.before)}
	if err := between.parse(time.Now()); err != nil {
		return s, err
	}
	for at, to := range map[*time.Time]*int64{&between.from: &s.Since, &between.to: &s.Until} {
		if !at.IsZero() {
			*to = at.UnixMilli()
		}
	}
	return s, nil
}

func eraseCommand(s *settings) *cobra.Command {
	var (
		o   offlineVerb
		sel selectionFlags
		e   retention.Erasure
		yes bool
	)
	c := &cobra.Command{
		Use:   "erase --subject user:NAME",
		Short: "Take the bytes of somebody's events out of the store",
		Long: `Take the bytes of events out of the store: those about a user, of a tenant or of an
operation, in a time range if one is given. An event is about a user when an object
"user" of OCSF in it, such as actor.user, has NAME as its uid, name, full name or
e-mail address.

The files that hold them are written anew without them. A stub of each stays: its
place and its fingerprint, none of what it said; so docket verify still proves that
nothing else is missing, and says how many were erased. The old files are deleted
when nobody reads them any more. What is under a legal hold stays, and the exit
code is then 4. It cannot be undone.

That events were erased is an event, and a statement of the ledger, for ever. Both
have --reason and who gave the order; so the reason must not name the subject: name
a ticket. Copies outside of the store are not touched: the stream keeps events for
a day, quarantine keeps what was refused, and backups are yours. docs/retention.md`,
		Example: `  docket erase --subject user:alice --reason "request 4711" --dry-run
  docket erase --subject user:alice --tenant acme --before 2026-01-01T00:00:00Z --reason "request 4711"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			o.data = s.data
			if e.Selection, err = sel.selection(); err != nil {
				return err
			}
			e.By = whoOrders()
			if err := e.Validate(); errors.Is(err, retention.ErrNamed) && !strings.Contains(strings.ToLower(e.Reference), strings.ToLower(e.Subject.Name())) {
				e.By = "" // somebody erases their own events
			}
			if err := e.Validate(); err != nil {
				return cli.Usage(err)
			}
			if err := lakeOnly(s.data, "erase"); err != nil {
				return err
			}
			if !yes && !e.DryRun {
				if err := confirm(c); err != nil {
					return err
				}
			}
			all, err := o.leave(c, "erase", e, func(ctx context.Context, stores *recordpath.Stores) (retention.Left, error) {
				return stores.Erase(ctx, e, func(retention.Left) {})
			})
			if err != nil {
				return err
			}
			return sayErased(c.OutOrStdout(), all, e.DryRun)
		},
	}
	o.flags(c)
	sel.flags(c)
	c.Flags().StringVar(&e.Reference, "reason", "", "what the event says: a ticket, never a name")
	c.Flags().BoolVar(&e.DryRun, "dry-run", false, "only say how many events it would be")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func sayErased(w io.Writer, all retention.Left, dry bool) error {
	if dry {
		fmt.Fprintf(w, "%d events would be erased, %d are under a legal hold\n", all.Rows, all.Held)
		return nil
	}
	fmt.Fprintf(w, "%d events erased, %d stay under a legal hold; %d files written anew, %d removed\n", all.Rows, all.Held, all.Rewritten, all.Removed)
	if all.Held > 0 {
		return cli.Code(cli.ExitPartial)
	}
	return nil
}

// confirm asks a human.
func confirm(c *cobra.Command) error {
	fmt.Fprint(c.ErrOrStderr(), "this cannot be undone; erase? [y/N] ")
	answer, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return cli.Hint(errors.New("nothing was erased"), "answer y, or give --yes")
	}
	return nil
}

func expireCommand(s *settings) *cobra.Command {
	var (
		o     offlineVerb
		order expireOrder
	)
	c := &cobra.Command{
		Use:   "expire",
		Short: "Let events go whose time is over",
		Long: `Let events go whose time is over by [lake] retention and retention_rules. A stub of
each stays. A running docket does that by itself every hour; this does it at once,
or for one that was stopped.

Nothing expires when the clock has gone on by more than seven days since that was
done last: a clock that is set wrong must not empty the store. --trust-clock says
that it is right, as after a docket was off for long.`,
		Example: "  docket expire\n  docket expire --trust-clock",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.data = s.data
			if err := lakeOnly(s.data, "expire"); err != nil {
				return err
			}
			all, err := o.leave(c, "expire", order, func(ctx context.Context, stores *recordpath.Stores) (retention.Left, error) {
				return stores.Expire(ctx, order.TrustClock, func(retention.Left) {})
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d events expired, %d stay under a legal hold; %d files removed, %d written anew\n", all.Rows, all.Held, all.Removed, all.Rewritten)
			return nil
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&order.TrustClock, "trust-clock", false, "the clock is right, however far it has gone")
	return c
}
