// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/internal/profile"
)

func filterOf(args []string) (string, error) {
	f := pflag.NewFlagSet("tail", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	e := newEventFilter(f)
	if err := f.Parse(args); err != nil {
		return "", err
	}
	return e.expression()
}

// The rules of hubble: the same flag is or, different flags are and, --not is for
// the next flag alone, and what is negated is put together in the same way.
func TestFilterFlags(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{``, ``},
		{`--kind outcome`, `kind == "outcome"`},
		{`--kind outcome --kind result`, `(kind == "outcome" || kind == "result")`},
		{`--kind outcome,result`, `(kind == "outcome" || kind == "result")`},
		{`--kind outcome --decision deny`, `kind == "outcome" && decision == "deny"`},
		{`--not --kind result`, `!(kind == "result")`},
		{`--not --kind result --decision deny`, `decision == "deny" && !(kind == "result")`},
		{`--tenant acme --not --kind result --not --kind evaluation --decision deny`, `tenant == "acme" && decision == "deny" && !((kind == "result" || kind == "evaluation"))`},
		{`--not --kind result --not --decision allow`, `!(kind == "result" && decision == "allow")`},
		{`--filter ran`, `ran`},
		{`--filter ran||true --kind result`, `kind == "result" && (ran||true)`},
		{`--filter ran --filter duration_ms>1`, `((ran) || (duration_ms>1))`},
		{`--not --filter duration_ms>1`, `!((duration_ms>1))`},
		{`--principal a"b\`, `principal == "a\"b\\"`},
	} {
		got, err := filterOf(strings.Fields(tc.args))
		if err != nil || got != tc.want {
			t.Errorf("%s: %s, %v, want %s", tc.args, got, err, tc.want)
			continue
		}
		if _, err := filter.Parse(got); err != nil {
			t.Errorf("%s: %v", tc.args, err)
		}
	}
}

func TestFilterFlagsThatAreWrong(t *testing.T) {
	for args, want := range map[string]string{
		`--kind result --not`:     "negates nothing",
		`--not --not --kind x`:    "negates the next flag already",
		`--not=false --kind x`:    "takes no value",
		`--kind outcom`:           "no event has it",
		`--not --decision denied`: "no event has it",
		`--filter tenantt==1`:     "no column or function",
	} {
		_, err := filterOf(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	_, err := filterOf([]string{"--not"})
	var exit *cli.Exit
	if !errors.As(err, &exit) || exit.Code != cli.ExitUsage {
		t.Errorf("--not alone: %v", err)
	}
}

// Whatever a value holds, it selects what is equal to it and nothing else.
func TestCELString(t *testing.T) {
	for _, s := range []string{"", "a", `"`, `\`, `\"`, "a\nb", "\x00", "\x1b[31m", "\u202e", "ü", `" || true || "`, `\x41`} {
		f, err := filter.Parse("principal == " + celString(s))
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if ok, err := f.Matches(&profile.Header{Principal: s}); !ok || err != nil {
			t.Errorf("%q is not equal to itself: %v", s, err)
		}
		if ok, err := f.Matches(&profile.Header{Principal: s + "x"}); ok || err != nil {
			t.Errorf("%q is equal to more: %v", s, err)
		}
	}
}
