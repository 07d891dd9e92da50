// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/internal/strictoml"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Work with configuration",
		Example: "  docket config explain --config docket.toml",
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(configExplainCommand())
	return c
}

func configExplainCommand() *cobra.Command {
	var (
		file, format string
		set          []string
	)
	c := &cobra.Command{
		Use:   "explain [KEY]",
		Short: "Say what every key is, and who said so",
		Long: `Say what every key is, and who said so: a flag (--set), the environment, the file,
or nobody, and then it is the default; no value is what the part that takes the key
does by itself. Paths are as they are used. Passwords and patterns are not shown.
What chains mean, docket chain check says.`,
		Example: `  docket config explain --config docket.toml
  docket config explain api.listen
  DOCKET_API_LISTEN=127.0.0.1:8443 docket config explain --config docket.toml -o json`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return config.Keys(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(file, set)
			if err != nil {
				return err
			}
			keys, err := cfg.Explain()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				keys = slices.DeleteFunc(keys, func(e config.Explained) bool { return e.Key != args[0] })
				if len(keys) == 0 {
					return cli.Usage(cli.Hint(fmt.Errorf("there is no key %q", args[0]), "%s", nearKey(args[0])))
				}
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"key", "value", "from", "where", "variable"}, false)
			if err != nil {
				return err
			}
			for _, e := range keys {
				object, err := json.Marshal(e)
				if err != nil {
					return err
				}
				if err := p.Row(cli.Row{Cells: []string{e.Key, e.Value, e.From, e.Where, e.Variable}, JSON: object}); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	f := c.Flags()
	f.StringVar(&file, "config", os.Getenv("DOCKET_CONFIG"), "configuration file (DOCKET_CONFIG)")
	f.StringArrayVar(&set, "set", nil, "set a key, as for docket up")
	cli.OutputFlag(f, &format)
	return c
}

func nearKey(key string) string {
	if near := strictoml.Suggest(key, config.Keys()); near != "" {
		return "did you mean " + near + "?"
	}
	return "`docket config explain` lists all of them"
}
