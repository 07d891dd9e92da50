// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

var (
	_ store.Quarantine = (*Lake)(nil)
	_ store.Quarantine = (*Reader)(nil)
)

// Quarantined implements [store.Quarantine].
func (l *Lake) Quarantined(ctx context.Context) iter.Seq2[store.Held, error] {
	return quarantined(ctx, l.dir, l.Manifest())
}

// Quarantined implements [store.Quarantine].
func (r *Reader) Quarantined(ctx context.Context) iter.Seq2[store.Held, error] {
	return quarantined(ctx, r.dir, r.Manifest())
}

func quarantined(ctx context.Context, dir string, m *Manifest) iter.Seq2[store.Held, error] {
	return func(yield func(store.Held, error) bool) {
		for i := range m.Quarantined {
			for h, err := range readHeld(dir, m.Quarantined[i].Path) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					yield(store.Held{}, failed("read quarantine", dir, err))
					return
				}
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

// heldID names the message in a line, counted from 1, of a quarantine file. Such
// files are never written anew, so the name stays.
func heldID(file string, line int) string {
	return strings.TrimSuffix(path.Base(file), quarantineSuffix) + "." + strconv.Itoa(line)
}

// heldFile returns the file that an ID is of.
func heldFile(id string) string {
	name, _, _ := strings.Cut(id, ".")
	return QuarantineDir + "/" + name + quarantineSuffix
}

// readHeld yields the messages of a quarantine file, one in memory at a time.
func readHeld(dir, file string) iter.Seq2[store.Held, error] {
	return func(yield func(store.Held, error) bool) {
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(file)))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: %w: the quarantine file is missing", file, ErrCorrupt)
		}
		if err != nil {
			yield(store.Held{}, fmt.Errorf("open quarantine: %w", err))
			return
		}
		defer func() { _ = f.Close() }() // was only read
		dec := json.NewDecoder(bufio.NewReaderSize(f, 64<<10))
		for line := 1; ; line++ {
			var q quarantineLine
			switch err := dec.Decode(&q); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(store.Held{}, fmt.Errorf("%s: %w: %w", file, ErrCorrupt, err))
				return
			}
			h := store.Held{ID: heldID(file, line), StoredTime: time.UnixMilli(q.Time).UTC(), Quarantined: store.Quarantined{
				Subject: q.Subject, Headers: q.Headers, Data: q.Data, StreamSeq: q.StreamSeq,
				Reason: q.Reason, Epoch: q.Epoch, Sequence: q.Sequence,
			}}
			if !yield(h, nil) {
				return
			}
		}
	}
}
