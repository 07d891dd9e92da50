// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
)

// A story tells what each binding was asked and answered, for -replay.event.
type story struct{ lines []string }

// observe is for [Observe].
func (s *story) observe(_ context.Context, m *Moment) error {
	if !m.Answered {
		return nil
	}
	e := m.Evaluation
	who := fmt.Sprintf("%s/%s in %s", e.Interceptor, e.Binding, e.Phase)
	if m.Shadow {
		who += ", a shadow"
	}
	from := "nobody could answer"
	switch m.From {
	case Linked:
		from = "re-executed in this process"
	case Dialled:
		from = "re-executed over gRPC"
	case FromRecord:
		from = "answered from the record"
	}
	s.add("%s: %s", who, from)
	if e.Payload != nil {
		if raw, err := e.Payload.JSON(); err == nil {
			s.add("  shown %s", clipped(string(raw)))
		}
	}
	then := "was not called"
	if m.Then != nil {
		then = said(m.Then.Result, m.Then.Failure)
	}
	var failure *interceptor.Failure
	if m.Err != nil && !errors.As(m.Err, &failure) {
		failure = &interceptor.Failure{Kind: interceptor.Unavailable, Detail: m.Err.Error()}
	}
	s.add("  then  %s", then)
	s.add("  now   %s", said(m.Result, failure))
	if failure != nil && failure.Detail != "" && m.From != FromRecord {
		for line := range strings.Lines(clipped(failure.Detail)) {
			s.add("        %s", strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "  "))
		}
	}
	return nil
}

func (s *story) add(format string, args ...any) {
	s.lines = append(s.lines, profile.Printable(fmt.Sprintf(format, args...)))
}

func (s *story) String() string { return strings.Join(s.lines, "\n") }

// said is an answer in one line.
func said(r *interceptor.Result, f *interceptor.Failure) string {
	a := answer{result: r, failure: f}
	if r == nil && f == nil {
		return "no answer"
	}
	return clipped(string(a.told()))
}

// maxTold bounds what a story tells of one payload or answer, in bytes.
const maxTold = 4 << 10

func clipped(s string) string {
	if len(s) > maxTold {
		s = strings.ToValidUTF8(s[:maxTold], "") + "..."
	}
	return s
}
