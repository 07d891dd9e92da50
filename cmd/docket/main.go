// SPDX-License-Identifier: Apache-2.0

// Docket is the flight recorder for gateway interceptors.
//
// One binary does everything: `docket up` runs broker, collector, lake, API and
// proxy in one process over one data directory, the other verbs read that
// directory, whether its owner is running or not. Each verb is one file here.
//
//	docket up --demo                         see it at work
//	docket tail                              one sentence per event
//	docket search --decision deny            what is stored, the newest first
//	docket query "SELECT ... FROM events"    ask in SQL
//	docket show OPERATION                    what became of one operation, and why
//	docket why OPERATION                     what decided it, and what would have been allowed
//	docket replay --chain candidate.toml     what a changed policy would have done
//	docket verify --deep                     is the history whole and unchanged
//	docket prove EVENT                       show one event to somebody, with the ledger's signature
//	docket validate events.ndjson            are these, or anybody's, valid OCSF events
//
// The rules that all verbs keep (formats, exit codes, errors) are those of
// package cmd/internal/cli.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/ops"
	"github.com/docket-audit/docket/cmd/internal/version"
)

func main() {
	os.Exit(cli.Run(root(), os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the flags that every verb has.
type settings struct {
	data    string
	context string
	colour  string
}

func root() *cobra.Command {
	s := &settings{}
	c := &cobra.Command{
		Use:   "docket",
		Short: "The flight recorder for gateway interceptors",
		Example: `  docket up --demo                  broker, collector, lake, API and proxy, with demo traffic
  docket tail                       in a second terminal: one sentence per event
  docket query "SELECT decision, count(*) FROM operations GROUP BY ALL"`,
		Version: version.String(),
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&s.data, "data", dataDefault(), "data directory (DOCKET_DATA)")
	c.PersistentFlags().StringVar(&s.context, "context", "", "ask the server of this name instead (DOCKET_CONTEXT; see docket context)")
	c.PersistentFlags().StringVar(&s.colour, "color", "auto", "colours: auto, always, never (NO_COLOR, CLICOLOR_FORCE)")
	c.PersistentPreRunE = s.prepare
	c.AddCommand(
		anywhere(tailCommand(s)), anywhere(queryCommand(s)), anywhere(showCommand(s)), anywhere(searchCommand(s)), anywhere(statsCommand(s)), anywhere(exportCommand(s)), contextCommand(s),
		upCommand(s), initCommand(), tokenCommand(s), certCommand(s), anywhere(replayCommand(s)), whyCommand(s), verifyCommand(s), proveCommand(s), verifyProofCommand(),
		chainCommand(s), streamCommand(s), doctorCommand(s), quarantineCommand(s), plansCommand(s), ingestCommand(s), holdCommand(s), eraseCommand(s), expireCommand(s), compactCommand(s), copyCommand(s), migrateCommand(s), configCommand(), completionCommand(), validateCommand(), schemaCommand(), versionCommand(), demoCommand(), answerCommand(), secretsCommand(), ops.CheckCommand(),
	)
	c.CompletionOptions.DisableDefaultCmd = true // ours has an example
	s.complete(c)
	cli.SetHelp(c)
	c.SetVersionTemplate(cli.VersionTemplate)
	return c
}

func dataDefault() string {
	if dir := os.Getenv("DOCKET_DATA"); dir != "" {
		return dir
	}
	return datadir.Default
}
