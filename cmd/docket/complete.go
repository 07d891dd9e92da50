// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/contexts"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// completeContexts completes the name of a context.
func completeContexts(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return contextNames(c, args, toComplete)
}

func contextNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	store, err := contexts.Open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := store.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completionLimit is for how long a shell may be kept waiting.
const completionLimit = 2 * time.Second

// completeValues completes the value of a column by those that are stored. It asks
// whom the verb would ask.
func (s *settings) completeValues(column string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionLimit)
		defer cancel()
		c.SetContext(ctx)
		client, err := s.open(c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer client.Close()
		stats, err := client.Audit.Stats(ctx, &auditv1.StatsRequest{Facets: []string{column}, Top: 100})
		if err != nil || len(stats.GetFacets()) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var values []string
		for _, v := range stats.GetFacets()[0].GetValues() {
			if safe := cli.Escape(v.GetValue()); safe == v.GetValue() && safe != "" {
				values = append(values, safe)
			}
		}
		slices.Sort(values)
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

func words(list ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
}

func decisions() []string {
	return []string{profile.DecisionAllow, profile.DecisionDeny, profile.DecisionModify, profile.DecisionNone}
}

// complete gives the flags of c and of all below it what completes them.
func (s *settings) complete(c *cobra.Command) {
	for flag, with := range map[string]cobra.CompletionFunc{
		"kind": words(profile.Kinds()...), "decision": words(decisions()...),
		"tenant": s.completeValues("tenant"), "gateway": s.completeValues("emitter"), "service": s.completeValues("service"), "method": s.completeValues("method"),
		"color": words(cli.ColourModes()...), "context": contextNames,
	} {
		if c.Flags().Lookup(flag) != nil || c.PersistentFlags().Lookup(flag) != nil {
			_ = c.RegisterFlagCompletionFunc(flag, with) // it fails where one is registered
		}
	}
	for _, sub := range c.Commands() {
		s.complete(sub)
	}
}
