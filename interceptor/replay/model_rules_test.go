// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/interceptor"
)

// rule says what a clause says of the deed as it stands.
func (s *scene) rule(x step) ruling {
	if x.breaks != "" && (x.when == "*" || x.when == s.v.box.image) {
		return ruling{fails: x.breaks}
	}
	r := x.ruling(s)
	if x.phase == interceptor.ModifyOperation {
		r.edits = x.edits(s.deed, s.v.box)
	}
	says := x.note != "" || r.deny || r.risk != nil || len(r.edits) > 0
	switch {
	case r.deny && x.phase != interceptor.PostCommit:
	case x.maxBytes == 1 && says, x.maxPatches > 0 && len(r.edits) > x.maxPatches:
		return ruling{fails: "patches"}
	case r.risk != nil && !slices.Contains(x.writes, "risk"):
		return ruling{fails: "scope"}
	}
	return r
}

func (x *step) denial(code, reason string) ruling {
	return ruling{deny: true, code: cmp.Or(x.code, code), reason: cmp.Or(x.rule.reason, reason)}
}

// ruling is what a clause says beyond edits.
func (x *step) ruling(s *scene) ruling {
	b, d := s.v.box, s.deed
	switch x.does {
	case "list":
		if strings.HasPrefix(b.image, "sly:") {
			return ruling{deny: true, code: "PERMISSION_DENIED", reason: "sly"}
		}
		if !slices.Contains(x.list, b.image) {
			return x.denial("PERMISSION_DENIED", "image "+strconv.Quote(b.image)+" is not on the list")
		}
	case "quota":
		if b.size > x.n {
			return x.denial("RESOURCE_EXHAUSTED", fmt.Sprint(b.size, " is more than ", x.n))
		}
	case "score":
		from := ""
		if slices.Contains(x.reads, "tenant") {
			from = s.plan
		}
		return ruling{risk: &risk{b.size * x.n, from}}
	case "demote":
		return ruling{plan: x.text}
	case "gate":
		if !slices.Contains(x.reads, "risk") || s.risk == nil {
			return ruling{}
		}
		if s.risk.score > x.n {
			return x.denial("PERMISSION_DENIED", fmt.Sprint("risk ", s.risk.score))
		}
		if s.risk.from == "free" && b.size > 3 {
			return x.denial("FAILED_PRECONDITION", "not in the free plan")
		}
	case "guard":
		if x.phase == interceptor.Validate && s.state && d.state != nil && (d.state.locked || d.state.size > b.size) {
			return x.denial("FAILED_PRECONDITION", "locked, or larger than that")
		}
	case "agents":
		if slices.Contains(x.attributes, "user_agent") && d.browser == x.text {
			return x.denial("PERMISSION_DENIED", "no bots")
		}
	case "names":
		if strings.HasPrefix(b.name, x.text) {
			return x.denial("PERMISSION_DENIED", "no such names")
		}
	}
	return ruling{}
}

// edits is what a clause makes otherwise of a box.
func (x *step) edits(d *deed, b box) []edit {
	set := func(text string, do func(*box)) edit {
		return edit{text, func(b *box) bool { do(b); return true }}
	}
	isLower := !strings.ContainsAny(b.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	switch {
	case x.does == "lower" && !isLower:
		name := strings.ToLower(b.name)
		return []edit{set(`replace /name "`+name+`"`, func(b *box) { b.name = name })}
	case x.does == "prefix" && isLower && !strings.HasPrefix(b.name, x.text):
		name := x.text + b.name
		return []edit{set(`replace /name "`+name+`"`, func(b *box) { b.name = name })}
	case x.does == "defaults" && b.tags == nil:
		return []edit{set(`add /tags []`, func(b *box) { b.tags = []string{} })}
	case x.does == "stamp" && !slices.Contains(b.tags, x.text):
		return []edit{{`add /tags/- "` + x.text + `"`, func(b *box) bool {
			if b.tags == nil {
				return false
			}
			b.tags = append(slices.Clone(b.tags), x.text)
			return true
		}}}
	case x.does == "expand" && b.template != "":
		return []edit{set("copy /image < /template", func(b *box) { b.image = b.template }), set("remove /template", func(b *box) { b.template = "" })}
	case x.does == "keep" && b.note != "" && b.description == "":
		return []edit{set("move /description < /note", func(b *box) { b.description, b.note = b.note, "" })}
	case x.does == "cap" && b.size > x.n:
		return []edit{set("replace /size "+strconv.Itoa(x.n), func(b *box) { b.size = x.n })}
	case x.does == "own" && b.owner == "":
		subject := d.subject
		if d.kind == "anonymous" {
			subject = ""
		}
		return []edit{set(`test /name "`+b.name+`"`, func(*box) {}), set(`add /owner "`+subject+`"`, func(b *box) { b.owner = subject })}
	case x.does == "fill" && b.image == x.text:
		text := strings.Repeat("x", 2*captureMax)
		return []edit{set(`add /description "`+text+`"`, func(b *box) { b.description = text })}
	}
	return nil
}
