// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

// shared are the columns that all events of an operation have in common, also of
// one of which an event could not be written whole.
var shared = []string{"method", "operation_uid", "service", "tenant"}

// ownKinds are the kinds of an operation's own events. What others found out about
// it has no method of its own, and says nothing about what is replayed.
var ownKinds = []string{profile.KindEvaluation, profile.KindFailure, profile.KindOutcome, profile.KindResult}

// An operation is asked for by when it began; its events are stored by when each
// happened. So of the store more is asked for: clocks are set back, and calls
// last.
const (
	marginBefore = time.Hour
	marginAfter  = 24 * time.Hour
)

// around returns CEL for the events of operations that began in a span.
func around(from, until time.Time) string {
	s := span{from: from, to: until}
	if !from.IsZero() {
		s.from = from.Add(-marginBefore)
	}
	if !until.IsZero() {
		s.to = until.Add(marginAfter)
	}
	return s.within("")
}

const (
	// listed is how many operations the store is asked for by their uids.
	listed = 300
	// maxChosen bounds the list of operations that is kept in memory, 16 bytes each
	// and as much again.
	maxChosen = 4_000_000
)

// A choice is the operations of which an event meets a condition.
type choice struct {
	narrow string               // CEL that all events of these operations meet
	uids   map[uidHash]struct{} // nil: narrow says it all
}

type uidHash [16]byte

func hashOf(uid string) uidHash {
	h := sha256.Sum256([]byte(uid))
	return uidHash(h[:])
}

// has says whether an operation is chosen.
func (c *choice) has(op *activity.Operation) bool {
	if c.uids == nil {
		return true
	}
	_, ok := c.uids[hashOf(string(op.UID))]
	return ok
}

// choose finds the operations of which an event meets a condition. Where that is
// about columns that all events of an operation share, the store selects by it;
// else the events that meet it are read, and their operations kept in a list.
func choose(ctx context.Context, h *history, where string, limit int) (*choice, error) {
	f, err := filter.Parse(where)
	if err != nil {
		return nil, err
	}
	if kinds, known := f.Values("kind"); known && !slices.ContainsFunc(kinds, func(k string) bool { return slices.Contains(ownKinds, k) }) {
		return nil, cli.Usage(cli.Hint(fmt.Errorf("--where: no event of an operation is of kind %s", strings.Join(kinds, ", ")), "theirs are %s", strings.Join(ownKinds, ", ")))
	}
	if !slices.ContainsFunc(f.Columns(), func(column string) bool { return !slices.Contains(shared, column) }) {
		return &choice{narrow: where}, nil
	}
	c := &choice{uids: map[uidHash]struct{}{}}
	var list []string
	for raw, err := range h.Events(ctx, both(where, "kind in "+celList(ownKinds))) {
		if err != nil {
			return nil, fmt.Errorf("find the operations: %w", err)
		}
		header, err := profile.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("find the operations: %w", err)
		}
		key := hashOf(header.OperationUID)
		if _, known := c.uids[key]; known || header.OperationUID == "" {
			continue
		}
		if len(c.uids) == limit {
			return nil, cli.Hint(fmt.Errorf("--where selects more than %s operations", cli.Thousands(int64(limit))),
				"narrow it by --since and --until; what is about %s alone needs no list and has no limit", strings.Join(shared, ", "))
		}
		c.uids[key] = struct{}{}
		if len(list) <= listed {
			list = append(list, header.OperationUID)
		}
	}
	c.narrow = c.narrowed(f, list)
	return c, nil
}

// narrowed returns what the store can leave out of the second reading.
func (c *choice) narrowed(f *filter.Filter, list []string) string {
	switch {
	case len(c.uids) == 0:
		return "false"
	case len(c.uids) <= listed:
		return "operation_uid in " + celList(list)
	}
	narrow := ""
	for _, column := range shared {
		if values, known := f.Values(column); known {
			narrow = both(narrow, column+" in "+celList(values))
		}
	}
	return narrow
}

func celList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = celString(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// checkWhere reads the condition before anything is opened.
func checkWhere(expression string) error {
	_, err := filter.Parse(expression)
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return cli.Usage(cli.Hint(fmt.Errorf("--where: %s", wrong.Reason), "%s", wrong.Hint()))
	}
	return err
}
