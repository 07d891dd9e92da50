// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/collector/store"
)

// The codes of a report, which are the exit codes of the commands.
const (
	CodeFine    = 0
	CodeFound   = 3 // damage, conflict or missing
	CodePartial = 4 // part of the directory could not be read, and nothing worse
)

// Kinds of problems.
const (
	Damage     = "damage"      // something is not what it was
	Missing    = "missing"     // something is not there
	Conflict   = "conflict"    // two events claim one place
	Signature  = "signature"   // a signature does not hold
	RolledBack = "rolled_back" // the history is not a continuation of the kept one
	Unreadable = "unreadable"  // nothing is known
)

// A Place is where a problem is, as far as that is known. Rows count from 0.
type Place struct {
	// File is relative to the data directory; of a store in tables, the name of one.
	// There a row counts from the first of its commit.
	File      string `json:"file,omitempty"`
	Row       *int   `json:"row,omitempty"`
	Column    string `json:"column,omitempty"`
	Statement uint64 `json:"statement,omitempty"`
	Epoch     string `json:"epoch,omitempty"`
	Sequence  int64  `json:"sequence,omitempty"`
}

func (p Place) String() string {
	var parts []string
	add := func(format string, v any) { parts = append(parts, fmt.Sprintf(format, v)) }
	if p.File != "" {
		add("%s", safe(p.File))
	}
	if p.Row != nil {
		add("row %d", *p.Row)
	}
	if p.Column != "" {
		add("column %s", p.Column)
	}
	if p.Statement != 0 {
		add("statement %d", p.Statement)
	}
	if p.Epoch != "" {
		add("epoch %s", safe(p.Epoch))
	}
	if p.Sequence != 0 {
		add("sequence %d", p.Sequence)
	}
	return strings.Join(parts, ", ")
}

// A Problem is one thing that is wrong.
type Problem struct {
	Kind  string `json:"kind"`
	Where Place  `json:"where"`
	What  string `json:"what"`
}

func (p Problem) String() string { return fmt.Sprintf("%s: %s: %s", p.Kind, p.Where, p.What) }

// How an epoch ends, as far as that is known.
const (
	EndClosed = "closed" // by its stop event
	EndCrash  = "crash"  // a later start event says where
	EndHead   = "head"   // a signed head reaches this far
	EndOpen   = "open"   // nothing says
)

// An Epoch is what is known of one epoch.
type Epoch struct {
	UID     string `json:"epoch"`
	Tenant  string `json:"tenant"`
	Emitter string `json:"emitter"`
	// Last is the last sequence that is known to exist; Stored says how many of
	// 1 to Last are stored, and Quarantined how many are only there.
	Last        int64           `json:"last"`
	Stored      int64           `json:"stored"`
	Quarantined int64           `json:"quarantined,omitempty"`
	Claimed     store.Intervals `json:"claimed,omitempty"` // which those are
	// Expired and Erased are those of Stored whose bytes have left: a stub stands
	// for each.
	Expired   int64           `json:"expired,omitempty"`
	Erased    int64           `json:"erased,omitempty"`
	Missing   store.Intervals `json:"missing,omitempty"`
	Conflicts store.Intervals `json:"conflicts,omitempty"`
	End       string          `json:"end"`
	// UnknownMS bounds, for an epoch that ended in a crash, the time in which
	// best_effort events may have been lost before they were durable; -1 where the
	// events that say so are not judged.
	UnknownMS int64 `json:"unknown_ms,omitempty"`
	// Open says that the owner of the directory is at it: it is the end of
	// nothing.
	Open bool `json:"open,omitempty"`
	// SignedTo is the sequence that the newest signed head covers, 0 without
	// one; Key names the key that it claims, SignatureChecked says that it was at
	// hand.
	SignedTo         int64  `json:"signed_to,omitempty"`
	Key              string `json:"key,omitempty"`
	SignatureChecked bool   `json:"signature_checked"`
	// Caveat is what a closed epoch lacks: who may publish can write a stop event
	// under any name, and only its signature tells whose it is.
	Caveat string `json:"caveat,omitempty"`
}

// caveat returns the [Epoch.Caveat].
func (e *Epoch) caveat() string {
	switch {
	case e.End != EndClosed || e.SignedTo == e.Last-1 && e.SignatureChecked:
		return ""
	case e.SignedTo != e.Last-1:
		return "its end is not signed"
	}
	return fmt.Sprintf("the signature was not checked: no public key %.16s of emitter %s here", safe(e.Key), safe(e.Emitter))
}

// Line says how much of the epoch is there.
func (e *Epoch) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d", e.Stored, e.Last)
	if e.Quarantined > 0 {
		fmt.Fprintf(&b, " stored, %d quarantined (%s)", e.Quarantined, intervals(e.Claimed))
	}
	var left []string
	if e.Expired > 0 {
		left = append(left, fmt.Sprintf("%d expired by retention", e.Expired))
	}
	if e.Erased > 0 {
		left = append(left, fmt.Sprintf("%d erased", e.Erased))
	}
	if len(left) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(left, ", "))
	}
	switch {
	case e.End == EndClosed:
		b.WriteString(", closed")
	case e.End == EndCrash && e.UnknownMS < 0:
		b.WriteString(" to the crash; how much of best_effort is unknown was not judged")
	case e.End == EndCrash:
		fmt.Fprintf(&b, " to the crash; at most %d ms of best_effort unknown", e.UnknownMS)
	case e.End == EndHead && e.SignatureChecked:
		b.WriteString(" to the signed head; end unknown")
	case e.End == EndHead:
		b.WriteString(" to the head, whose signature was not checked; end unknown")
	default:
		b.WriteString(" to the last one stored; end unknown")
	}
	if e.Open {
		b.WriteString(": still open")
	}
	if e.Caveat != "" {
		b.WriteString("; " + e.Caveat)
	}
	return b.String()
}

// A Ledger is what is known of the ledger.
type Ledger struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"` // leaves under the checkpoint
	Root   string `json:"root"` // hex
	// KeyGiven says that the key was not taken from the directory.
	KeyGiven bool `json:"key_given"`
	Verified bool `json:"verified"` // the checkpoint's signature holds
	// Continues says that the kept checkpoint is a prefix; nil when none was given.
	Continues *bool `json:"continues,omitempty"`
}

// An Expired is what left by one rule of retention.
type Expired struct {
	Rule   string `json:"rule"`
	Events int64  `json:"events"`
}

// A Report is a judgement. Its JSON form may grow.
type Report struct {
	Dir         string `json:"dir"`
	Store       string `json:"store,omitempty"` // where the tables are, if it is in some
	Deep        bool   `json:"deep"`
	Scope       *Scope `json:"scope,omitempty"` // nil: everything was judged
	Exit        int    `json:"code"`            // what Code returns
	Ledger      Ledger `json:"ledger"`
	Statements  uint64 `json:"statements"`
	Segments    int    `json:"segments"`
	Quarantines int    `json:"quarantine_files"`
	Held        int64  `json:"quarantined_messages,omitempty"` // of tables
	Events      int64  `json:"events"`
	// Expired says how many events left by which rule of retention, Erased how
	// many because somebody asked. A stub stands for each of them.
	Expired  []Expired `json:"expired,omitempty"`
	Erased   int64     `json:"erased,omitempty"`
	Bytes    int64     `json:"bytes"` // of the files that were hashed
	Epochs   []Epoch   `json:"epochs"`
	Notes    []string  `json:"notes"`
	Problems []Problem `json:"problems"`
	// Omitted counts the problems beyond those that are listed.
	Omitted int `json:"omitted,omitempty"`
}

// Code returns 0, 3 when there is damage, conflict or something missing, or
// 4 when all that is wrong is that a part could not be read.
func (r *Report) Code() int {
	code := CodeFine
	for i := range r.Problems {
		if r.Problems[i].Kind != Unreadable {
			return CodeFound
		}
		code = CodePartial
	}
	return code
}

// WriteText writes the report for people. Of the problems it writes at most so
// many of a kind that a screen holds them; the JSON form has all.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	switch {
	case r.Ledger.KeyGiven && !r.Ledger.Verified:
		b.WriteString("key given: its owner did not sign for this history\n")
	case r.Ledger.KeyGiven:
		fmt.Fprintf(&b, "key given: this shows that the owner of the key of %s signed for this history\n", safe(r.Ledger.Origin))
	default:
		b.WriteString("key taken from the data directory: this shows consistency, not authenticity\n")
	}
	fmt.Fprintf(&b, "ledger %s: %d leaves, root %.16s\n", safe(r.Ledger.Origin), r.Ledger.Size, r.Ledger.Root)
	if r.Ledger.Continues != nil && *r.Ledger.Continues {
		b.WriteString("the kept checkpoint is a prefix of this ledger\n")
	}
	if r.Scope != nil {
		b.WriteString(r.Scope.lines())
	}
	how := "files, statements, sequences"
	if r.Deep {
		how = "files, statements, sequences, every event and every column"
	}
	if r.Store != "" {
		fmt.Fprintf(&b, "checked tables of %s, statements, sequences, every event and every column: %d statements, %d messages in quarantine, %d events, %d bytes\n",
			safe(r.Store), r.Statements, r.Held, r.Events, r.Bytes)
	} else {
		fmt.Fprintf(&b, "checked %s: %d statements, %d segments, %d quarantine files, %d events, %d bytes\n",
			how, r.Statements, r.Segments, r.Quarantines, r.Events, r.Bytes)
	}
	for _, e := range r.Expired {
		fmt.Fprintf(&b, "%d expired by retention (%s); their stubs are here\n", e.Events, safe(e.Rule))
	}
	if r.Erased > 0 {
		fmt.Fprintf(&b, "%d erased; their stubs are here\n", r.Erased)
	}
	for i := range r.Epochs {
		e := &r.Epochs[i]
		fmt.Fprintf(&b, "epoch %s of %s, tenant %s: %s\n", safe(e.UID), safe(e.Emitter), safe(e.Tenant), e.Line())
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	r.writeProblems(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

const maxOfKind = 20

func (r *Report) writeProblems(b *strings.Builder) {
	written := map[string]int{}
	for _, p := range r.Problems {
		if written[p.Kind]++; written[p.Kind] <= maxOfKind {
			fmt.Fprintf(b, "%s\n", p)
		}
	}
	for _, kind := range []string{Damage, Missing, Conflict, Signature, RolledBack, Unreadable} {
		if n := written[kind] - maxOfKind; n > 0 {
			fmt.Fprintf(b, "%s: and %d more\n", kind, n)
		}
	}
	switch r.Code() {
	case CodeFine:
		b.WriteString("ok\n")
	case CodeFound:
		fmt.Fprintf(b, "%s\n", numbered(len(r.Problems)+r.Omitted, "problem"))
	default:
		fmt.Fprintf(b, "%s could not be read\n", numbered(len(r.Problems)+r.Omitted, "part"))
	}
}

func numbered(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sort puts the problems into an order that does not depend on who found which
// first: those of files before what follows from them.
func (r *Report) sort() {
	row := func(p *Problem) int {
		if p.Where.Row == nil {
			return -1
		}
		return *p.Where.Row
	}
	follows := func(p *Problem) int {
		if p.Where.File == "" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(follows(&a)-follows(&b), cmp.Compare(a.Where.File, b.Where.File), cmp.Compare(row(&a), row(&b)), cmp.Compare(a.Where.Statement, b.Where.Statement),
			cmp.Compare(a.Where.Epoch, b.Where.Epoch), cmp.Compare(a.Where.Sequence, b.Where.Sequence), cmp.Compare(a.Where.Column, b.Where.Column))
	})
	slices.SortFunc(r.Expired, func(a, b Expired) int { return cmp.Compare(a.Rule, b.Rule) })
	slices.SortFunc(r.Epochs, func(a, b Epoch) int { return cmp.Compare(a.UID, b.UID) })
}

// safe makes a string from the directory fit for a terminal.
func safe(s string) string {
	q := strconv.Quote(s)
	if q[1:len(q)-1] == s {
		return s
	}
	return q
}
