// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestExitCodesAndHints(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"fine", nil, 0, ""},
		{"failure", errors.New("read x: gone"), 1, "docket: read x: gone\n"},
		{"hint", fmt.Errorf("open: %w", Hint(errors.New("locked"), "stop pid %d", 7)), 1, "docket: open: locked\nhint: stop pid 7\n"},
		{"the nearest hint wins", Hint(Hint(errors.New("a"), "near"), "far"), 1, "docket: a\nhint: near\n"},
		{"usage", Usagef("no such flag"), 2, "docket: no such flag\n"},
		{"found, said already", Code(ExitFound), 3, ""},
		{"partial", &Exit{Code: ExitPartial, Err: errors.New("2 of 3 read")}, 4, "docket: 2 of 3 read\n"},
		{"closed pipe", fmt.Errorf("write: %w", syscall.EPIPE), 0, ""},
		{"hostile text", errors.New("bad \x1b[31mred"), 1, "docket: bad \\x1b[31mred\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			root := &cobra.Command{Use: "docket", RunE: func(*cobra.Command, []string) error { return tc.err }}
			if code := Run(root, nil, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if diff := cmp.Diff(tc.stderr, stderr.String()); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
			if stdout.Len() > 0 {
				t.Errorf("stdout has %q, want data only", stdout.String())
			}
		})
	}
}

func TestPrinterFormats(t *testing.T) {
	rows := []Row{
		{Cells: []string{"1", "a\x1b[2Jb"}, JSON: []byte(`{"n":1,"s":"a\u001b[2Jb"}`)},
		{Cells: []string{"2", "x,y"}, JSON: []byte(`{"n":2,"s":"x,y"}`), Short: "two\nlines"},
		{Cells: []string{"3 ", "z"}, CSV: []string{"3", "z"}, JSON: []byte(`{}`), Below: []string{"  be\tlow"}},
	}
	for format, want := range map[string]string{
		Table:  "N   S\n1   a\\x1b[2Jb\n2   x,y\n3   z\n  be\\tlow\n",
		NDJSON: "{\"n\":1,\"s\":\"a\\u001b[2Jb\"}\n{\"n\":2,\"s\":\"x,y\"}\n{}\n",
		JSON:   "[\n{\"n\":1,\"s\":\"a\\u001b[2Jb\"},\n{\"n\":2,\"s\":\"x,y\"},\n{}\n]\n",
		CSV:    "n,s\n1,a\x1b[2Jb\n2,\"x,y\"\n3,z\n",
		Short:  "1\ta\\x1b[2Jb\ntwo\\nlines\n3 \tz\n  be\\tlow\n",
	} {
		var out bytes.Buffer
		p, err := NewPrinter(&out, format, []string{"n", "s"}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if err := p.Row(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
	var out bytes.Buffer
	if p, _ := NewPrinter(&out, "", nil, false); p.Format != NDJSON {
		t.Errorf("default when piped is %q, want ndjson", p.Format)
	}
	if p, _ := NewPrinter(&out, JSON, nil, false); p.Close() != nil || out.String() != "[]\n" {
		t.Errorf("no rows as json is %q, want an empty array", out.String())
	}
	var exit *Exit
	if _, err := NewPrinter(&out, "xml", nil, false); !errors.As(err, &exit) || exit.Code != ExitUsage {
		t.Errorf("unknown format gives %v, want a usage error", err)
	}
}

// What cobra and pflag complain of is said in our words, with advice.
func TestWrongUsage(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"ask"}, "docket: docket ask needs SQL\nhint: such as: docket ask 'SELECT 1'\n"},
		{[]string{"ask", "a", "b"}, "docket: docket ask takes one SQL, not 2\nhint: put what has spaces in it between quotation marks, and see `docket ask --help`\n"},
		{[]string{"none", "x"}, "docket: docket none takes no argument, and \"x\" is one\nhint: see `docket none --help`\n"},
		{[]string{"none", "-n", "x"}, "docket: --number x: not a whole number\nhint: see `docket none --help`\n"},
		{[]string{"none", "--for", "soon"}, "docket: --for soon: not a duration such as 500ms, 12h or 30d\nhint: see `docket none --help`\n"},
		{[]string{"none", "--limt", "3"}, "docket: unknown flag: --limt\nhint: did you mean --limit? see `docket none --help`\n"},
		{[]string{"none", "--sql"}, "docket: unknown flag: --sql\nhint: it is a flag of ask; see `docket none --help`\n"},
		{[]string{"ask", "--number", "3"}, "docket: unknown flag: --number\nhint: it is a flag of none; see `docket ask --help`\n"},
		{[]string{"ask", "--from", "x"}, "docket: unknown flag: --from\nhint: SQL has FROM\n"},
		{[]string{"none", "-f"}, "docket: unknown shorthand flag: 'f' in -f\nhint: see `docket none --help`\n"},
		{[]string{"none", "-q"}, "docket: unknown shorthand flag: 'q' in -q\nhint: see `docket none --help`\n"},
		{[]string{"none", "--nix"}, "docket: unknown flag: --nix\nhint: see `docket none --help`\n"},
	} {
		var stdout, stderr bytes.Buffer
		run := func(*cobra.Command, []string) error { return nil }
		root := &cobra.Command{Use: "docket"}
		none := &cobra.Command{Use: "none", Args: cobra.NoArgs, RunE: run}
		none.Flags().IntP("number", "n", 0, "")
		none.Flags().Duration("for", 0, "")
		none.Flags().Int("limit", 0, "")
		ask := &cobra.Command{Use: "ask SQL", Example: "  docket ask 'SELECT 1'\n  docket ask -", Args: cobra.ExactArgs(1), RunE: run}
		ask.Flags().Bool("sql", false, "")
		NoFlag(ask, "from", "SQL has FROM")
		root.AddCommand(none, ask)
		if code := Run(root, tc.args, &stdout, &stderr); code != ExitUsage {
			t.Errorf("%v: exit code %d", tc.args, code)
		}
		if diff := cmp.Diff(tc.stderr, stderr.String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.args, diff)
		}
	}
}

// Whoever presses ^C is told that, and not of a context.
func TestInterruptedIsTold(t *testing.T) {
	for _, tc := range []struct {
		err    func(context.Context) error
		code   int
		stderr string
	}{
		{func(ctx context.Context) error { return fmt.Errorf("ask SQL: %w", ctx.Err()) }, ExitFailure, "docket: interrupted\n"},
		{func(context.Context) error { return errors.New("rpc: context canceled") }, ExitFailure, "docket: interrupted\n"},
		{func(ctx context.Context) error { return fmt.Errorf("open store: %w", context.Cause(ctx)) }, ExitFailure, "docket: interrupted\n"},
		{func(context.Context) error { return errors.New("the disk is full") }, ExitFailure, "docket: the disk is full\n"},
		{func(context.Context) error { return Code(ExitPartial) }, ExitPartial, ""},
		{func(context.Context) error { return nil }, ExitOK, ""},
	} {
		var stdout, stderr bytes.Buffer
		c := &cobra.Command{Use: "docket", RunE: func(c *cobra.Command, _ []string) error {
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				return err
			}
			<-c.Context().Done()
			return tc.err(c.Context())
		}}
		if code := Run(c, []string{}, &stdout, &stderr); code != tc.code || stderr.String() != tc.stderr {
			t.Errorf("exit code %d, %q, want %d, %q", code, stderr.String(), tc.code, tc.stderr)
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢字":        "plain é 漢字",
		"tab\tnl\nbell\a":   `tab\tnl\nbell\x07`,
		"bad\xffutf8":       `bad\xffutf8`,
		"left\u202eright":   `left\u202eright`,
		"c1 \u009b31m":      `c1 \x9b31m`,
		"tag \U000e0001end": `tag \U000e0001end`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEscapeJSONKeepsTheValue(t *testing.T) {
	const in = "{\"a\":\"x\u009b31m \u202e \U000e0001 é\"}"
	out := EscapeJSON(in)
	if out != `{"a":"x\u009b31m \u202e \udb40\udc01 é"}` {
		t.Errorf("EscapeJSON = %s", out)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(in), &a), json.Unmarshal([]byte(out), &b)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
}

// A reader that has seen enough is no failure. The test runs itself as a program
// that never stops printing.
func TestBrokenPipe(t *testing.T) {
	if os.Getenv("PRINT_FOR_EVER") != "" {
		root := &cobra.Command{Use: "docket", RunE: func(c *cobra.Command, _ []string) error {
			p, err := NewPrinter(c.OutOrStdout(), NDJSON, nil, false)
			for err == nil {
				err = p.Row(Row{JSON: []byte("{}")})
			}
			return err
		}}
		os.Exit(Run(root, nil, os.Stdout, os.Stderr))
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(exe, "-test.run", "^TestBrokenPipe$")
	cmd.Env, cmd.Stderr = append(os.Environ(), "PRINT_FOR_EVER=1"), &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("after its reader went away: %v, %s", err, stderr.String())
	}
}
