// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/contexts"
)

func contextListCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "ls",
		Short:   "Print the contexts, and which one is in use",
		Example: "  docket context ls\n  docket context ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := contexts.Open()
			if err != nil {
				return err
			}
			names, err := store.Names()
			if err != nil {
				return err
			}
			current, err := store.Current()
			if err != nil {
				return err
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"in use", "name", "url", "who asks", "description"}, false)
			if err != nil {
				return err
			}
			for _, called := range names {
				k, err := store.Load(called)
				if err != nil { // the others are of use
					fmt.Fprintf(c.ErrOrStderr(), "docket: warning: %s\n", cli.Escape(err.Error()))
					continue
				}
				mark := ""
				if called == current {
					mark = "*"
				}
				object, err := json.Marshal(shownContext{Name: called, InUse: called == current, Context: withoutToken(k), Who: whoAsks(k)})
				if err != nil {
					return err
				}
				if err := p.Row(cli.Row{Cells: []string{mark, called, k.URL, whoAsks(k), k.Description}, JSON: object}); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	cli.OutputFlag(c.Flags(), &format)
	return c
}

// A shownContext is a context as it is printed: never with its token.
type shownContext struct {
	Name  string `json:"name"`
	InUse bool   `json:"in_use"`
	contexts.Context
	Who     string     `json:"who_asks"`
	Expires *time.Time `json:"token_expires,omitempty"`
}

func withoutToken(k contexts.Context) contexts.Context {
	k.Token = ""
	return k
}

// whoAsks says what a server is shown.
func whoAsks(k contexts.Context) string {
	var how []string
	switch {
	case k.Token != "":
		how = append(how, "token")
	case k.TokenFile != "":
		how = append(how, "token in "+k.TokenFile)
	}
	if k.Cert != "" {
		how = append(how, "certificate "+k.Cert)
	}
	if len(how) == 0 {
		return "nobody in particular"
	}
	return strings.Join(how, " and ")
}

func contextShowCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Print one context, without its token",
		Long: `Print one context, of no name the one in use. The token is not printed; when it
says until when it is valid, that is.`,
		Example:           "  docket context show\n  docket context show prod -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(c *cobra.Command, args []string) error {
			store, err := contexts.Open()
			if err != nil {
				return err
			}
			current, err := store.Current()
			if err != nil {
				return err
			}
			called := current
			if len(args) > 0 {
				called = args[0]
			}
			if called == "" {
				return cli.Usage(cli.Hint(fmt.Errorf("no context is in use"), "`docket context ls` shows those that there are"))
			}
			k, err := store.Load(called)
			if err != nil {
				return err
			}
			return showContext(c, format, k, called == current)
		},
	}
	cli.OutputFlag(c.Flags(), &format)
	return c
}

func showContext(c *cobra.Command, format string, k contexts.Context, inUse bool) error {
	shown := shownContext{Name: k.Name, InUse: inUse, Context: withoutToken(k), Who: whoAsks(k)}
	valid := ""
	token, err := k.Bearer()
	if err != nil {
		valid = err.Error()
	} else if at, err := contexts.Expiry(token); err == nil {
		shown.Expires = &at
		valid = "until " + at.UTC().Format(time.RFC3339)
		if time.Now().After(at) {
			valid = "expired at " + at.UTC().Format(time.RFC3339)
		}
	}
	object, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"what", "is"}, false)
	if err != nil {
		return err
	}
	if p.Format == cli.JSON || p.Format == cli.NDJSON {
		if err := p.Row(cli.Row{JSON: object}); err != nil {
			return err
		}
		return p.Close()
	}
	for _, line := range [][2]string{{"name", k.Name}, {"description", k.Description}, {"url", k.URL}, {"who asks", shown.Who}, {"token", valid}, {"ca", k.CA}, {"key", k.Key}} {
		if line[1] == "" {
			continue
		}
		if err := p.Row(cli.Row{Cells: line[:]}); err != nil {
			return err
		}
	}
	return p.Close()
}
