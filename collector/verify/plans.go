// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/regular"
	"github.com/docket-audit/docket/ocsf"
)

const (
	planDigestPrefix = "sha256:"
	maxPlan          = 64 << 20 // bytes; an event that carries one has 8 MiB
)

// A plans is what events say of plans.
type plans struct {
	carried []carried
	named   map[string]bool // by digest
}

// A carried is an event that should carry the plan that it names.
type carried struct {
	segment *segment
	event   event // raw in a deep run
	digest  string
}

// see takes in what one event says. What others recorded tells of their plans.
func (p *plans) see(s *segment, e *event, kind, digest string, raw []byte) {
	switch {
	case kind == profile.KindForeign, !isPlanDigest(digest): // none, or the version of a policy that is no plan
	case e.class == int32(ocsf.ClassEntityManagement): // carries a plan
		c := carried{s, *e, digest}
		c.event.raw = raw
		p.carried = append(p.carried, c)
	case !p.named[digest]:
		if p.named == nil {
			p.named = map[string]bool{}
		}
		p.named[digest] = true
	}
}

func isPlanDigest(s string) bool {
	var sum [sha256.Size]byte
	name, ok := strings.CutPrefix(s, planDigestPrefix)
	return ok && unhex(&sum, name)
}

// add takes in what the events of a file say.
func (p *plans) add(other *plans) {
	p.carried = append(p.carried, other.carried...)
	if p.named == nil {
		p.named = map[string]bool{}
	}
	maps.Copy(p.named, other.named)
}

// checkPlans compares the files of plans, which operations are replayed with,
// with their names, which are digests, and looks for those that events carry.
func (v *verifier) checkPlans(ctx context.Context, r *rows) error {
	carriers := map[string]*carried{}
	for i := range r.plans.carried {
		c := &r.plans.carried[i]
		if carriers[c.digest] != nil {
			continue
		}
		if v.carries(ctx, c) {
			carriers[c.digest] = c
		}
	}
	here := v.readPlans(carriers)
	advice := ""
	if v.opts.Tables != nil { // in which several may have stored, each with a directory
		advice = "; if another docket stored it, copy plans from its directory into this one"
	}
	for _, digest := range slices.Sorted(maps.Keys(carriers)) {
		if !here[digest] {
			v.problem(Missing, Place{File: planFile(digest)}, "the plan is missing; %s carries it%s", carriers[digest].place(), advice)
		}
	}
	unknown := 0
	for digest := range r.plans.named {
		if carriers[digest] == nil && !here[digest] {
			unknown++
		}
	}
	if unknown > 0 && !r.lost && v.scope == nil {
		v.note("plans that events name and none carries: %d; what was decided by them cannot be replayed", unknown)
	}
	return ctx.Err()
}

func (c *carried) place() Place { return c.segment.at(&c.event, "") }

func planFile(digest string) string {
	return plansDir + "/" + strings.TrimPrefix(digest, planDigestPrefix) + ".json"
}

// readPlans reads the plans that are kept, and returns the digests in their
// names.
func (v *verifier) readPlans(carriers map[string]*carried) map[string]bool {
	here := map[string]bool{}
	list, err := os.ReadDir(filepath.Join(v.dir, plansDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.unread(Place{File: plansDir}, err)
		return here
	}
	for _, d := range list {
		name, ok := strings.CutSuffix(d.Name(), ".json")
		digest := planDigestPrefix + name
		if !ok || !isPlanDigest(digest) {
			continue // left by an interrupted write; nobody reads it
		}
		here[digest] = true
		place := Place{File: planFile(digest)}
		plan, err := regular.ReadAtMost(filepath.Join(v.dir, plansDir, d.Name()), maxPlan)
		if err != nil {
			v.unread(place, err)
			continue
		}
		if got := sha256.Sum256(plan); hex.EncodeToString(got[:]) != name {
			where := ""
			if c := carriers[digest]; c != nil {
				where = fmt.Sprintf("; %s carries the plan", c.place())
			}
			v.problem(Damage, place, "its SHA-256 is %.16s..., its name says %.16s...%s", hex.EncodeToString(got[:]), name, where)
		}
	}
	return here
}

// carries derives the plan from the bytes of an event. One that was cut short,
// or is of somebody who has no plans of ours, carries none.
func (v *verifier) carries(ctx context.Context, c *carried) bool {
	raw := c.event.raw
	if raw == nil && !c.segment.damaged {
		raw = v.rawOf(ctx, c)
	}
	type policy struct {
		Data json.RawMessage `json:"data"`
	}
	var said struct {
		Policy policy `json:"policy"`
		Entity struct {
			Data   json.RawMessage `json:"data"`
			Policy policy          `json:"policy"`
		} `json:"entity"`
	}
	if raw == nil || json.Unmarshal(raw, &said) != nil {
		return false // which is told
	}
	for _, plan := range [][]byte{said.Entity.Data, said.Entity.Policy.Data, said.Policy.Data} {
		sum := sha256.Sum256(plan)
		if len(plan) > 0 && c.digest == planDigestPrefix+hex.EncodeToString(sum[:]) {
			return true
		}
	}
	return false
}

// rawOf fetches the bytes of one event, which a run that is not deep has not
// read. Plans are few.
func (v *verifier) rawOf(ctx context.Context, c *carried) (raw []byte) {
	row := 0
	err := lake.ReadColumns(ctx, v.lakePath(), c.segment.Path, []string{lake.ColumnRaw}, func(columns []arrow.Array) error {
		texts := columns[0].(*array.String)
		if at := c.event.row - row; at >= 0 && at < texts.Len() {
			raw = []byte(texts.Value(at))
		}
		row += texts.Len()
		return nil
	})
	if err != nil && ctx.Err() == nil {
		v.problem(Damage, c.segment.place, "%v", err)
	}
	return raw
}
