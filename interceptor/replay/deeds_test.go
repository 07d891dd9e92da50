// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
)

// A box is what operations of the world ask for. Empty texts are absent; nil tags
// are, empty ones are not.
type box struct {
	name, image                        string
	size                               int
	tags                               []string
	labels                             map[string]string
	note, template, owner, description string
}

func (b *box) message(tb testing.TB) proto.Message {
	m := map[string]any{"name": b.name, "image": b.image, "size": b.size}
	for name, text := range map[string]string{"note": b.note, "template": b.template, "owner": b.owner} {
		if text != "" {
			m[name] = text
		}
	}
	if b.tags != nil {
		list := []any{}
		for _, tag := range b.tags {
			list = append(list, tag)
		}
		m["tags"] = list
	}
	if b.labels != nil {
		labels := map[string]any{}
		for name, value := range b.labels {
			labels[name] = value
		}
		m["labels"] = labels
	}
	return message(tb, m)
}

func message(tb testing.TB, m map[string]any) proto.Message {
	s, err := structpb.NewStruct(m)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// A standing is the current state of what an update is about.
type standing struct {
	size        int
	locked, big bool
}

func (s *standing) message(tb testing.TB) proto.Message {
	m := map[string]any{"size": s.size, "locked": s.locked}
	if s.big {
		m["history"] = strings.Repeat("s", 2*captureMax)
	}
	return message(tb, m)
}

// A deed is an operation, with all that its maker knows of it, whether or not the
// record does.
type deed struct {
	n                      int
	tenant, method         string
	kind, subject, browser string
	box                    box
	state                  *standing // nil is none
	plan                   string    // what the tenant's metadata say; "" is no metadata
	bigMetadata            bool
	era                    int // whose charter was in force

	faults    map[string]string // what befell bindings, by "who/id@phase"; see broken
	leaves    string            // the caller does, when this binding has answered
	gone      string            // the caller is, before this binding answers
	refused   codes.Code        // by the adapter, if it is not OK
	unspooled bool              // the disk is full: what must be durable is not
	handler   string            // what became of it: "", "exists", "denied", "panic"

	cut int // if it is not 0, the record ends somewhere before the outcome
}

func (d *deed) uid() string { return fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", d.n) }

// pick returns one of words; one that is written "word*3" is three times as likely
// as others, and "-" is the empty text.
func pick(r *rand.Rand, words string) string {
	list := weighed(words)
	if w := list[r.IntN(len(list))]; w != "-" {
		return w
	}
	return ""
}

func weighed(words string) []string {
	var list []string
	for _, word := range strings.Fields(words) {
		word, times, _ := strings.Cut(word, "*")
		n, _ := strconv.Atoi(times)
		list = append(list, slices.Repeat([]string{word}, max(n, 1))...)
	}
	return list
}

// newDeed makes deed n of a seed, whatever others are made.
func newDeed(seed uint64, n, eras int) *deed {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	d := &deed{
		n: n, era: r.IntN(eras),
		tenant:  pick(r, "acme globex initech"),
		method:  pick(r, "CreateBox*3 UpdateBox*2 DeleteBox SealBox BulkBox PeekBox ListBoxes"),
		kind:    pick(r, "user*3 agent sandbox anonymous"),
		subject: pick(r, "alice bob carol root"),
		browser: pick(r, "curl*2 grpc-go bot -"),
		plan:    pick(r, "gold*2 free -"),
		handler: pick(r, "-*12 exists denied panic"),
	}
	d.box = box{
		name:     pick(r, "box*2 Box BOX p-box tmp-box") + fmt.Sprintf("-%d", n),
		image:    pick(r, "base:1*4 base:2*3 base:3 evil:1*2 old:1 sly:ok sly:patch"),
		size:     1 + r.IntN(12),
		template: pick(r, "-*6 base:1 evil:1"),
		owner:    pick(r, "-*3 dave"),
		note:     pick(r, "-*3 short"),
	}
	switch r.IntN(4) {
	case 0:
		d.box.tags = []string{}
	case 1:
		d.box.tags = strings.Fields(pick(r, "a b stamped") + " " + pick(r, "c d"))
	}
	if r.IntN(3) > 0 {
		d.box.labels = map[string]string{"tier": "gold"}
		if team := pick(r, "a*2 b -"); team != "" {
			d.box.labels["team"] = team
		}
	}
	if d.method == "UpdateBox" && r.IntN(5) > 0 {
		d.state = &standing{size: r.IntN(12), locked: r.IntN(8) == 0}
	}
	d.misfortune(r)
	return d
}

// misfortune lets something go wrong, mostly not, and one thing at a time: what is
// not in the record is then not in it for one reason.
func (d *deed) misfortune(r *rand.Rand) {
	// Who may suffer; not all of them select every operation of the method.
	may := weighed(map[string]string{
		"CreateBox": `naming/lower@2 naming/prefix@2 tags/stamp@2 template/expand@2 size/cap@2 owner/set@2*5 risk/score@2 notes/keep@2 trial/list@3 images/list@3*2 quota/limit@3*3 risk/gate@3 agents/deny@3 trial/stamp@2 watch/commits@4 watch/ignored@4 watch/trial@4`,
		"UpdateBox": `naming/lower@2 tags/defaults@2 tags/stamp@2 size/cap@2 risk/score@2 images/list@3 quota/limit@3*2 risk/gate@3 state/guard@3 trial/stamp@2 watch/ignored@4`,
		"DeleteBox": "agents/deny@3 audit/both@2 audit/both@3 watch/commits@4",
		"SealBox":   "naming/lower@2 images/list@3",
		"BulkBox":   "naming/lower@2 notes/keep@2 notes/fill@2 images/list@3*2 watch/commits@4",
		"PeekBox":   "trial/list@3 trial/list@2",
		"ListBoxes": "names/tmp@3",
	}[d.method])
	what := r.IntN(100)
	switch {
	case what < 23:
		ways := slices.Sorted(maps.Keys(kinds))
		d.faults = map[string]string{}
		for range 1 + r.IntN(2) {
			d.faults[may[r.IntN(len(may))]] = ways[r.IntN(len(ways))]
		}
	case what < 25:
		d.leaves = may[r.IntN(len(may))]
	case what < 27:
		d.gone = may[r.IntN(len(may))]
	case what < 29:
		d.refused = []codes.Code{codes.ResourceExhausted, codes.InvalidArgument, codes.PermissionDenied}[r.IntN(3)]
	case what < 31:
		d.unspooled = true
	case what < 35:
		d.cut = 1 + r.IntN(20)
	case what < 39:
		d.box.note = strings.Repeat("n", 2*captureMax)
	case what < 42 && d.state != nil:
		d.state.big = true
	case what < 46 && d.plan != "":
		d.bigMetadata = true
	case what < 60 && d.method == "BulkBox":
		d.box.image = "fill:1"
	}
}

// operation returns the deed as an adapter brings it to the chain.
func (d *deed) operation(tb testing.TB) *interceptor.Operation {
	op := &interceptor.Operation{
		UID: interceptor.UID(d.uid()), Tenant: d.tenant, Service: service, Method: d.method, Start: d.start(),
		Principal:  map[string]string{"kind": d.kind},
		Attributes: map[string]string{"source.address": fmt.Sprintf("192.0.2.%d:4711", d.n%250)},
		Labels:     d.box.labels, Request: d.box.message(tb),
	}
	if d.kind != "anonymous" {
		op.Principal["subject"] = d.subject
	}
	if d.browser != "" {
		op.Attributes["user_agent"] = d.browser
	}
	if d.plan != "" {
		op.Metadata = map[string]map[string]any{"tenant": {"plan": d.plan}, "unseen": {"x": 1.0}}
		if d.bigMetadata {
			op.Metadata["tenant"]["terms"] = strings.Repeat("m", 2*captureMax)
		}
	}
	if d.state != nil {
		op.State = d.state.message(tb)
	}
	if d.refused != codes.OK {
		op.Refusal = status.New(d.refused, "refused")
	}
	return op
}

func (d *deed) start() time.Time { return time.UnixMilli(1793215000000 + 10*int64(d.n)) }

// handle is what the operation asks for, done.
func (d *deed) handle(_ context.Context, m proto.Message) (proto.Message, error) {
	switch d.handler {
	case "exists":
		return nil, status.Error(codes.AlreadyExists, "it is there")
	case "denied":
		return nil, status.Error(codes.PermissionDenied, "not yours")
	case "panic":
		panic("handler")
	}
	return m, nil
}
