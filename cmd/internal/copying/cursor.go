// SPDX-License-Identifier: Apache-2.0

package copying

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/store"
)

// CursorPath is where a data directory keeps how far copies into its store came.
const CursorPath = "copies.json"

// A cursor is how far the copy of one source came. It is no evidence: whoever
// changes it has a copy that is not whole, which [Compare] finds.
type cursor struct {
	Commit    uint64 `json:"commit"` // of the source; up to Pos everything was copied
	Pos       uint32 `json:"pos"`
	Statement string `json:"statement"` // digest of that of Commit: it is this source still
	// Number and Digest are of the destination's last statement by then: it is this
	// destination still.
	Number uint64 `json:"number"`
	Digest string `json:"digest"`
}

// source tells one from another, wherever it is: by the digest of its first
// statement.
func (s *Source) source() (string, error) {
	raw, err := s.statement(1)
	if err != nil {
		return "", fmt.Errorf("read the first statement of %s: %w", s.Name, err)
	}
	return digestOf(raw), nil
}

func readCursors(dir *datadir.Dir) (map[string]cursor, error) {
	all := map[string]cursor{}
	raw, err := os.ReadFile(dir.Join(CursorPath))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how far the copy came: %w", err)
	}
	if json.Unmarshal(raw, &all) != nil {
		return map[string]cursor{}, nil // then it begins anew, and all that is there is a duplicate
	}
	return all, nil
}

// resume returns behind which place of the source to go on; zero: at the beginning.
func resume(from *Source, to *Destination, c cursor) store.Cursor {
	if c.Commit == 0 || c.Commit > from.Last {
		return store.Cursor{}
	}
	raw, err := from.statement(c.Commit)
	if err != nil || digestOf(raw) != c.Statement {
		return store.Cursor{}
	}
	if raw, err = to.statement(c.Number); err != nil || digestOf(raw) != c.Digest {
		return store.Cursor{}
	}
	return store.Cursor{Commit: c.Commit, Pos: c.Pos}
}

// save says how far it came.
func save(dir *datadir.Dir, source string, c cursor) error {
	all, err := readCursors(dir)
	if err != nil {
		return err
	}
	all[source] = c
	raw, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = datadir.ReplaceFile(dir.Join(CursorPath), append(raw, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep how far the copy came: %w", err)
	}
	return nil
}
