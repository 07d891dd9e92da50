// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes of every verb.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2
	ExitFound   = 3
	ExitPartial = 4
)

// An Exit is an error that carries its exit code. With a nil Err the command
// said all there is to say already and only the code is left to tell.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Exit) Unwrap() error { return e.Err }

// Usage marks err as wrong usage of the command line.
func Usage(err error) error { return &Exit{Code: ExitUsage, Err: err} }

// Usagef formats an error of wrong usage.
func Usagef(format string, args ...any) error { return Usage(fmt.Errorf(format, args...)) }

// Code is a verb's way to end with an exit code other than 0 and no message.
func Code(code int) error {
	if code == ExitOK {
		return nil
	}
	return &Exit{Code: code}
}

// hinted is an error with advice for the person who reads it.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// Hint attaches advice to err. An error that has a hint already keeps it: the
// one nearest to the cause knows best.
func Hint(err error, format string, args ...any) error {
	var h interface{ Hint() string }
	if err == nil || (errors.As(err, &h) && h.Hint() != "") {
		return err
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// Run executes root with args and returns the exit code. It prints an error
// with its hint to stderr, and cancels the verb's context on SIGINT and
// SIGTERM; a second signal ends the process at once.
func Run(root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal is the default one: die

	// Without this the runtime kills the process when standard output is a
	// closed pipe; with it the write returns EPIPE, which is how a reader that
	// has seen enough says so.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)

	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	explainArguments(root)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && (strings.HasSuffix(err.Error(), context.Canceled.Error()) || strings.HasSuffix(err.Error(), context.Cause(ctx).Error())) {
		err = errInterrupted // whoever pressed ^C knows of no context
	}
	return report(err, root.Name(), stderr)
}

var errInterrupted = errors.New("interrupted")

// ReaderGone reports whether err says that nobody reads the output any more, as
// behind `| head`. That is no failure; a verb whose exit code says what it found
// ends with what it knows by then.
func ReaderGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// report prints err the way every verb does and returns its exit code.
func report(err error, name string, stderr io.Writer) int {
	if err == nil || ReaderGone(err) {
		return ExitOK
	}
	code := ExitFailure
	var exit *Exit
	if errors.As(err, &exit) {
		code = exit.Code
		if exit.Err == nil {
			return code
		}
	} else if unknownCommand(err) {
		code = ExitUsage
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, EscapeText(strings.TrimSpace(err.Error())))
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(stderr, "hint: %s\n", EscapeText(h.Hint()))
	}
	return code
}

// Verbs is the Args of a command that only has others below it.
func Verbs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := Usagef("unknown command %q for %q", args[0], c.CommandPath())
	c.SuggestionsMinimumDistance = min(2, len(args[0])/2) // of a word of two letters all is near
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return Hint(err, "did you mean %s?", strings.Join(near, " or "))
	}
	return Hint(err, "see `%s --help`", c.CommandPath())
}

// unknownCommand recognises cobra's own complaints, which have no type.
func unknownCommand(err error) bool {
	m := err.Error()
	return strings.HasPrefix(m, "unknown command") || strings.HasPrefix(m, "required flag") || strings.HasPrefix(m, "if any flags in the group")
}
