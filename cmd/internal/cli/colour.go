// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// A Colour is the number of an SGR sequence; zero is none.
type Colour int

// The colours.
const (
	Red    Colour = 31
	Yellow Colour = 33
	Cyan   Colour = 36
)

func (p *Printer) paint(s string, c Colour) string {
	if c == 0 || !p.colours {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, s)
}

// ColourModes are what --color can be.
func ColourModes() []string { return []string{"auto", "always", "never"} }

// SetColour makes --color hold. It is said in the environment, where everything
// that prints looks, and processes that are started from here too.
func SetColour(mode string) error {
	if !slices.Contains(ColourModes(), mode) {
		return Usage(Hint(fmt.Errorf("--color %s: not a way to use colours", mode), "one of %s", strings.Join(ColourModes(), ", ")))
	}
	say := map[string]map[string]string{"always": {"NO_COLOR": "", "CLICOLOR_FORCE": "1"}, "never": {"NO_COLOR": "1"}}
	for name, value := range say[mode] {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colours reports whether w may be written to in colour: NO_COLOR says never,
// then CLICOLOR_FORCE always, and else terminals are.
func Colours(w any) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return os.Getenv("TERM") != "dumb" && IsTerminal(w)
}
