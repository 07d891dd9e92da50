// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"io"
	"os"
	"runtime"

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
	Files() []lake.File
}

// SQL returns what answers queries over a lake: the files of its manifest, as
// it is when the query begins.
func SQL(l Lake, limits sql.Limits) func(ctx context.Context, text string, columns func([]string) error, rows io.Writer) error {
	return serve.SQL(sql.NewProcesses(program(), []string{"docket", AnswerVerb}, limits), func() (sql.Scope, error) {
		files := l.Files()
		s := sql.Scope{Dir: l.Dir(), Files: make([]string, len(files))}
		for i, f := range files {
			s.Files[i] = f.Path
		}
		return s, nil
	})
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
