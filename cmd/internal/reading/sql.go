// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
)

// AnswerVerb is the verb by which docket runs one query in a process of its
// own; see [sql.Answer].
const AnswerVerb = "answer"

// A Lake says what of it there is to be read.
type Lake interface {
	Dir() string
	Pin() (m *lake.Manifest, release func())
}

// Processes returns what runs queries, for all doors together: the limits are on
// what they take of this machine.
func Processes(limits sql.Limits) *sql.Processes {
	return sql.NewProcesses(program(), []string{"docket", AnswerVerb}, limits)
}

// SQL returns what answers queries over a lake: the files of its manifest, as
// it is when the query begins, which stay until it has ended.
func SQL(l Lake, p *sql.Processes) func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
	return serve.SQL(p, func(q serve.Question) (sql.Scope, func(), error) {
		m, release := l.Pin()
		if q.At > m.Number {
			release()
			return sql.Scope{}, nil, serve.Invalid("at", fmt.Errorf("there is no commit %d yet, the newest is %d", q.At, m.Number))
		}
		return scope(l.Dir(), m, q), release, nil
	})
}

// Arrow is [SQL] for the door of Flight SQL: a question sees what its view does.
func Arrow(l Lake, p *sql.Processes) flight.Engine {
	return flight.SQL(p, func(q flight.Question) (sql.Scope, func(), error) {
		m, release := l.Pin()
		return scope(l.Dir(), m, serve.Question{View: q.View}), release, nil
	})
}

// scope is what a question may see. A file with events of several tenants is
// shared where some of them are seen and some are not.
func scope(dir string, m *lake.Manifest, q serve.Question) sql.Scope {
	s := sql.Scope{Dir: dir, Filter: q.Filter, AsOf: q.At}
	everything := q.View.All()
	seen := map[string]bool{}
	for _, e := range m.Epochs {
		if !everything && q.View.Sees(e.Tenant) {
			seen[e.Tenant] = true
		}
	}
	if s.Tenants = slices.Sorted(maps.Keys(seen)); !everything && len(seen) == 0 {
		s.Tenants = []string{""} // no tenants would be all of them; this is nobody's name
	}
	for i := range m.Files {
		f := &m.Files[i]
		if q.At != 0 && f.FirstCommit > q.At {
			continue
		}
		some, all := everything, true
		if !everything {
			for epoch := range f.Epochs {
				sees := seen[m.Epochs[epoch].Tenant]
				some, all = some || sees, all && sees
			}
		}
		switch {
		case some && all:
			s.Files = append(s.Files, f.Path)
		case some:
			s.Shared = append(s.Shared, f.Path)
		}
	}
	return s
}

// program returns the path of this program; on Linux of the very file that runs,
// also when another has taken its place since: two versions need not understand
// each other.
func program() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	exe, err := os.Executable()
	if err != nil {
		return os.Args[0] // to start it says what is wrong
	}
	return exe
}
