// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/contexts"
	"github.com/docket-audit/docket/cmd/internal/reading"
)

// readsAnywhere marks the verbs that ask a server as well as a directory.
const readsAnywhere = "docket_reads_anywhere"

func anywhere(c *cobra.Command) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[readsAnywhere] = "yes"
	return c
}

// contextOf returns the name of the context that a reading verb asks, "" for the
// data directory. What was said nearest to the command line wins: --data,
// --context, DOCKET_CONTEXT, DOCKET_DATA, `docket context use`.
func (s *settings) contextOf(c *cobra.Command) (string, error) {
	switch {
	case c.Flags().Changed("data"):
		return "", nil
	case c.Flags().Changed("context"):
		if s.context == "" {
			return "", cli.Usage(cli.Hint(fmt.Errorf("--context: no name"), "`docket context ls` shows those that you have; --data asks a directory"))
		}
		return s.context, nil
	case os.Getenv("DOCKET_CONTEXT") != "":
		return os.Getenv("DOCKET_CONTEXT"), nil
	case os.Getenv("DOCKET_DATA") != "":
		return "", nil
	}
	store, err := contexts.Open()
	if err != nil {
		return "", nil // without a place for configuration nothing is set
	}
	return store.Current()
}

// open returns a client of the context or the data directory.
func (s *settings) open(c *cobra.Command) (*reading.Client, error) {
	called, err := s.contextOf(c)
	if err != nil {
		return nil, err
	}
	if called == "" {
		client, err := reading.Open(c.Context(), s.data)
		if err == nil {
			warnDamaged(c, client)
		}
		return client, err
	}
	store, err := contexts.Open()
	if err != nil {
		return nil, err
	}
	known, err := store.Load(called)
	if err != nil {
		return nil, err
	}
	return reading.Remote(c.Context(), known)
}

// warnDamaged tells of what an offline directory lacks; the answer comes from
// what is still there.
func warnDamaged(c *cobra.Command, client *reading.Client) {
	if client.Damaged != nil {
		fmt.Fprintf(c.ErrOrStderr(), "docket: warning: %s\nhint: run `docket verify`\n", cli.Escape(client.Damaged.Error()))
	}
}

// prepare is what every verb begins with: flags that all have.
func (s *settings) prepare(c *cobra.Command, args []string) error {
	if c.Flags().Changed("context") && c.Annotations[readsAnywhere] == "" {
		return cli.Usage(cli.Hint(fmt.Errorf("%s does not ask a server", c.CommandPath()), "leave --context out; it is for tail, search, show, query, stats, export, plans and replay"))
	}
	if c.Annotations[readsAnywhere] != "" {
		if err := legible(c, args); err != nil {
			return err
		}
	}
	return cli.SetColour(s.colour)
}

// legible refuses what cannot be asked: a request is UTF-8, and so is whatever it
// could select.
func legible(c *cobra.Command, args []string) (err error) {
	refuse := func(what, text string) {
		if !utf8.ValidString(text) {
			err = cli.Usage(cli.Hint(fmt.Errorf("%s is not UTF-8: %q", what, text), "does this terminal, or the script, use another encoding?"))
		}
	}
	c.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "data", "input-file", "to": // files have the names that they have
		default:
			refuse("--"+f.Name, f.Value.String())
		}
	})
	for _, arg := range args {
		refuse("the argument", arg)
	}
	return err
}
