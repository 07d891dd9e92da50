// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/version"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// banner says where everything is and what to do next. Its addresses are a
// fixed contract: URLs, one in a line.
func (d *daemon) banner() {
	w := d.o.stdout
	fmt.Fprintf(w, "docket %s, data in %s\n", version.Number, d.o.data)
	note := map[string]string{
		"proxy":  "governed calls go here",
		"api":    "send the token in " + d.dir.Join("keys", "api.token"),
		"flight": "Flight SQL, with the same token",
		"ops":    "/healthz /readyz /metrics",
		"nats":   "subscribe to " + profile.Prefix + ".>",
	}
	if d.open {
		note["api"] = "demo: answers this machine without a token (list, read, tail, sql)"
	}
	if d.flightOpen {
		note["flight"] = "Flight SQL; demo: without a token, as api"
	}
	for _, name := range []string{"proxy", "api", "flight", "ops", "nats"} {
		if url := d.run.Addresses[name]; url != "" {
			said := note[name]
			if moved := d.run.Moved(name); moved != "" {
				said = moved + "; " + said
			}
			fmt.Fprintf(w, "  %-6s %-28s %s\n", name, url, said)
		}
	}
	if d.keysTogether() {
		fmt.Fprintln(w, "  note   the keys of emitter and ledger lie in one directory; [ledger] key puts the ledger's elsewhere")
	}
	fmt.Fprintln(w, "in a second terminal:")
	for _, c := range d.commands() {
		fmt.Fprintf(w, "  %s\n", c)
	}
	fmt.Fprintln(w)
}

// commands are what can be pasted as it stands into a second terminal in the
// same directory.
func (d *daemon) commands() []string {
	me := quote(os.Args[0])
	if d.o.data != datadir.Default {
		me += " --data " + quote(d.o.data)
	}
	verify := me + " verify"
	if d.cfg.Store.URL != "" {
		verify += " --store " + quote(d.cfg.Store.URL.String()) // which has no password
	}
	return []string{
		me + " tail --last 20",
		me + ` query "SELECT tenant, decision, count(*) AS n FROM operations GROUP BY ALL ORDER BY ALL"`,
		me + " show --decision deny",
		me + " replay",
		verify,
	}
}

// quote makes s one word for a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:,@%", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// labels are what a line of the demo begins with.
var labels = []struct {
	label string
	is    func(h *profile.Header) bool
}{
	{"allowed", func(h *profile.Header) bool {
		return h.Kind == profile.KindResult && h.Decision == profile.DecisionAllow
	}},
	{"denied", func(h *profile.Header) bool {
		return h.Kind == profile.KindResult && h.Decision == profile.DecisionDeny
	}},
	{"modified", func(h *profile.Header) bool {
		return h.Kind == profile.KindResult && h.Decision == profile.DecisionModify
	}},
	{"failed", func(h *profile.Header) bool { return h.Kind == profile.KindFailure }},
}

// sentences prints some of what happens in the demo: once a second the newest
// evaluation of each sort. All of it is what `docket tail` is for.
func (d *daemon) sentences(ctx context.Context) error {
	if !d.o.demo {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	after := d.record.Commits()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now := d.record.Commits()
		if now == after {
			continue
		}
		newest := map[string]profile.Header{}
		q := store.Query{After: store.Cursor{Commit: after, Pos: math.MaxUint32}, Kinds: []string{profile.KindResult, profile.KindFailure}, WithoutRaw: true}
		for e, err := range d.record.Store.Scan(ctx, q) {
			if ctx.Err() != nil {
				return nil // over ClickHouse the end of ctx is an error of the scan
			}
			if err != nil {
				d.o.log.Warn("print sentences", "error", err)
				break
			}
			for _, l := range labels {
				if l.is(&e.Header) {
					newest[l.label] = e.Header
				}
			}
		}
		after = now
		for _, l := range labels {
			if h, ok := newest[l.label]; ok {
				if _, err := fmt.Fprintf(d.o.stdout, "%-8s  %-6s  %s\n", l.label, cli.Escape(h.Tenant), profile.Sentence(h)); err != nil {
					// Nobody reads any more; docket goes on all the same.
					<-ctx.Done()
					return nil
				}
			}
		}
	}
}
