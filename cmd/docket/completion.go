// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write what lets a shell complete verbs, flags and values",
		Long: `Write what lets a shell complete verbs, flags and values: bash, zsh, fish or
powershell. Tenants, services and methods are those that are stored, by the store that
the verb would ask; contexts are those of ` + "`docket context ls`.",
		Example: `  source <(docket completion bash)
  docket completion bash > /etc/bash_completion.d/docket
  docket completion zsh > "${fpath[1]}/_docket"
  docket completion fish > ~/.config/fish/completions/docket.fish`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: words("bash", "zsh", "fish", "powershell"),
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(w, true)
			case "zsh":
				return c.Root().GenZshCompletion(w)
			case "fish":
				return c.Root().GenFishCompletion(w, true)
			case "powershell":
				return c.Root().GenPowerShellCompletionWithDesc(w)
			}
			return cli.Usage(cli.Hint(fmt.Errorf("no completion for %q", args[0]), "one of bash, zsh, fish, powershell"))
		},
	}
}
