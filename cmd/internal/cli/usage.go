// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/internal/strictoml"
)

// SetHelp gives c and its verbs the help of Docket's commands: it starts with
// the example, since most readers of --help want nothing else.
func SetHelp(c *cobra.Command) {
	c.SetHelpTemplate(helpTemplate)
	c.SetUsageTemplate(usageTemplate)
}

const helpTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`

const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Global flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`

// VersionTemplate is what --version prints: the line of the verb version.
const VersionTemplate = "{{.Name}} {{.Version}}\n"

// explainArguments makes c, and what is below it, say in our words what is wrong
// with arguments, and what would be right.
func explainArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		explainArguments(sub)
	}
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		var exit *Exit
		if err == nil || errors.As(err, &exit) {
			return err
		}
		return Usage(argumentError(c, args))
	}
}

// argumentError takes what a command wants from its Use: "query SQL".
func argumentError(c *cobra.Command, args []string) error {
	_, wants, _ := strings.Cut(strings.TrimSuffix(c.Use, " [flags]"), " ")
	required := wants != "" && !strings.HasPrefix(wants, "[")
	switch {
	case wants == "":
		return Hint(fmt.Errorf("%s takes no argument, and %q is one", c.CommandPath(), args[0]), "see `%s --help`", c.CommandPath())
	case required && len(args) == 0:
		example, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
		return Hint(fmt.Errorf("%s needs %s", c.CommandPath(), wants), "such as: %s", example)
	}
	return Hint(fmt.Errorf("%s takes one %s, not %d", c.CommandPath(), strings.Trim(wants, "[]"), len(args)),
		"put what has spaces in it between quotation marks, and see `%s --help`", c.CommandPath())
}

// flagError says in our words what is wrong with a flag's value.
func flagError(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		flag := invalid.GetFlag()
		words := map[string]string{
			"int": "not a whole number", "int32": "not a whole number, or too large a one", "int64": "not a whole number, or too large a one",
			"uint32": "not a whole number from 0 on, or too large a one", "uint64": "not a whole number from 0 on, or too large a one", "duration": "not a duration such as 500ms, 12h or 30d", "bool": "neither true nor false",
		}
		if said, ok := words[flag.Value.Type()]; ok {
			err = fmt.Errorf("--%s %s: %s", flag.Name, invalid.GetValue(), said)
		}
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		err = Hint(err, "%s", unknownFlag(c, unknown.GetSpecifiedName()))
	}
	return Usage(Hint(err, "see `%s --help`", c.CommandPath()))
}

// noFlag begins the annotations of [NoFlag].
const noFlag = "docket_no_flag_"

// NoFlag says what somebody who gives c a flag that it does not have may do.
func NoFlag(c *cobra.Command, name, advice string) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[noFlag+name] = advice
}

// unknownFlag is the advice for a flag that c does not have: others may have it,
// or one with a name like it may be meant.
func unknownFlag(c *cobra.Command, name string) string {
	help := fmt.Sprintf("see `%s --help`", c.CommandPath())
	if advice, ok := c.Annotations[noFlag+name]; ok {
		return advice
	}
	var others []string
	for _, verb := range c.Root().Commands() {
		if verb != c && !verb.Hidden && len(name) > 1 && verb.Flags().Lookup(name) != nil {
			others = append(others, verb.Name())
		}
	}
	if len(others) > 0 {
		return fmt.Sprintf("it is a flag of %s; %s", strings.Join(others, ", "), help)
	}
	var own []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			own = append(own, f.Name)
		}
	})
	if near := strictoml.Suggest(name, own); near != "" && len(name) > 1 {
		return "did you mean --" + near + "? " + help
	}
	return help
}
