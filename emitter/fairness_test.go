// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// by returns a result event of a principal of acme.
func by(principal string) *ocsf.APIActivity {
	e := event("acme", "")
	e.Actor.User.UID = principal
	return e
}

// One principal offers a hundred thousand events to a disk that hangs. Sixty
// others, who come after it, are taken all the same.
func TestNoisyPrincipal(t *testing.T) {
	fs := new(faultFS)
	gate := make(chan struct{})
	dir := t.TempDir()
	const limit = 4 << 20
	e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fs, QueueBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	fs.set(func(op, _ string) (error, bool) {
		if op == "sync" {
			<-gate
		}
		return nil, false
	})
	const noisy = 100_000
	var taken, refused int64
	for range noisy {
		switch err := e.Emit(t.Context(), by("noisy")).err; {
		case err == nil:
			taken++
		case errors.Is(err, ErrBackpressure):
			refused++
		default:
			t.Fatal(err)
		}
	}
	const half = (limit - limit/outcomeShare) / 2
	if held := e.State().QueueBytes; held > half || held < half-(2<<10) {
		t.Errorf("alone it holds %d bytes, want half of those that are not for outcomes, %d", held, half)
	}
	const quiet, each = 60, 5
	var receipts []Receipt
	for i := range each {
		for q := range quiet {
			r := e.Emit(t.Context(), by(fmt.Sprint("quiet-", q)))
			if r.err != nil {
				t.Fatalf("event %d of quiet principal %d: %v", i, q, r.err)
			}
			receipts = append(receipts, r)
		}
	}
	outcome := by("noisy")
	outcome.Metadata.EventCode = profile.KindOutcome
	receipts = append(receipts, e.Emit(t.Context(), outcome))
	close(gate)
	for _, r := range receipts {
		if err := r.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	s := e.State()
	if s.Sequenced != taken+quiet*each+1 || s.Declared != refused || s.Offered != s.Sequenced+s.Declared || s.QueueBytes != 0 {
		t.Errorf("%d taken, %d refused, %+v", taken, refused, s)
	}
	if stated := declared(t, dir); stated["acme "+reasonFairShare] != refused {
		t.Errorf("gap findings state %v, %d were refused", stated, refused)
	}
}

// Whatever is offered and released, in whatever order: the bytes add up, the
// limit holds, and nobody is refused for fairness who holds little while those
// who hold little have not filled what is kept for them.
func TestPoolIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1<<20, 1<<26).Draw(t, "limit")
		p := newPool(limit)
		var charges []charge
		held := map[accountKey]int64{}
		little := max(limit/littleShare, littleBytes)
		keys := map[*account]accountKey{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if len(charges) > 0 && rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				i := rapid.IntRange(0, len(charges)-1).Draw(t, "which")
				held[keys[charges[i].account]] -= charges[i].weight
				charges[i].release()
				charges = append(charges[:i], charges[i+1:]...)
			} else {
				key := accountKey{"acme", fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "who"))}
				w := rapid.Int64Range(1, limit/4).Draw(t, "weight")
				if rapid.Bool().Draw(t, "small") {
					w = min(w, little)
				}
				c, refused := p.admit(key, w)
				if refused == admitted {
					charges = append(charges, c)
					keys[c.account] = key
					held[key] += w
				} else if held[key]+w <= little {
					// Only those who hold little themselves may stand in the way.
					sum := held[key] + w
					for other, n := range held {
						if other != key && n <= little {
							sum += n
						}
					}
					if sum <= limit/reservedShare {
						t.Fatalf("%v, who holds %d, is refused %d (%v) while the quiet hold %d of %d", key, held[key], w, refused, sum, limit/reservedShare)
					}
				}
			}
			total := int64(0)
			for key, n := range held {
				total += n
				if n > limit/2 && n > little {
					t.Fatalf("%v holds %d of %d", key, n, limit)
				}
			}
			if total != p.bytes || total > limit {
				t.Fatalf("%d bytes, the pool says %d of %d", total, p.bytes, limit)
			}
		}
		for _, c := range charges {
			c.release()
		}
		if p.bytes != 0 {
			t.Fatalf("%d bytes left", p.bytes)
		}
	})
}

// Principals who come once leave nothing behind.
func TestAccountsAreForgotten(t *testing.T) {
	p := newPool(1 << 20)
	for i := range 100_000 {
		c, refused := p.admit(accountKey{"acme", fmt.Sprint(i)}, 1024)
		if refused != admitted {
			t.Fatal(refused)
		}
		c.release()
	}
	if n := len(p.accounts); n > 2*sweepFloor {
		t.Errorf("%d accounts", n)
	}
}

// A flood of tenants does not grow what is to be stated without bound.
func TestGapsAreBounded(t *testing.T) {
	g := gaps{}
	const tenants = 3 * maxGaps
	for i := range tenants {
		g.add(gapKey{fmt.Sprint(i), reasonQueueFull}, 1)
	}
	sum := int64(0)
	for _, one := range g {
		sum += one.count
	}
	if len(g) > maxGaps+1 || sum != tenants || g[gapKey{profile.TenantDocket, reasonQueueFull}].count == 0 {
		t.Errorf("%d findings state %d of %d", len(g), sum, tenants)
	}
}

func TestAccountOf(t *testing.T) {
	for name, tt := range map[string]struct {
		actor *ocsf.Actor
		want  string
	}{
		"user":     {&ocsf.Actor{User: &ocsf.User{UID: "alice"}, AppUID: "app"}, "alice"},
		"app uid":  {&ocsf.Actor{User: &ocsf.User{}, AppUID: "app", AppName: "name"}, "app"},
		"app name": {&ocsf.Actor{AppName: "name"}, "name"},
		"nobody":   {nil, ""},
	} {
		e := event("acme", "")
		e.Actor = tt.actor
		if got := accountOf(e.Common()); got != (accountKey{"acme", tt.want}) {
			t.Errorf("%s: %+v", name, got)
		}
		e.Metadata.UID = newUID()
		raw, h, err := profile.SealHeader(e, profile.Link{Emitter: "gateway-0", Epoch: newUID(), Sequence: 1})
		if err != nil || h.Principal != tt.want {
			t.Errorf("%s: the column says %q (%v): %s", name, h.Principal, err, raw)
		}
	}
}
