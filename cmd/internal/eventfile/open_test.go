// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func compress(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is there but is nothing to read is said with advice.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct{ name, want, hint string }{
		{filepath.Join(dir, "none.json"), "open none.json: no such file or directory", "name a file that is there, or - for standard input"},
		{dir, "read .: is a directory", "name the files in it, as in ./*.json"},
		{write("utf16", "\xff\xfe{\x00}\x00"), "read utf16: it is UTF-16, which is not read here", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"},
		{write("zst", "\x28\xb5\x2f\xfd..."), "read zst: it is compressed with zstd, which is not read here", "decompress it: zstd -dc FILE | docket validate -"},
		{write("parquet", "PAR1..."), "read parquet: it is Parquet, which is not read here", "convert it to JSON, one event a line"},
		{write("gz", "\x1f\x8b\x08"), "read gz: decompress: unexpected EOF", "the file is cut off: copy it again from where it is whole"},
		{write("gzname", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03event"), "read gzname: decompress: unexpected EOF", "the file is cut off: copy it again from where it is whole"},
		{write("nogz", "\x1f\x8bno gzip at all"), "read nogz: decompress: gzip: invalid header", ""},
	} {
		_, err := Open(c.name, nil)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		said := strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+"/", ""), dir, ".")
		if diff := cmp.Diff(c.want, said); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.hint, strings.ReplaceAll(hint(err), dir, ".")); diff != "" {
			t.Errorf("hint for %s (-want +got)\n%s", c.name, diff)
		}
	}
	if _, err := Open(filepath.Join(dir, "none.json"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// A compressed file that is cut off gives what came before, then an error with
// advice; one that was changed is an error too.
func TestGzipCutOff(t *testing.T) {
	events := strings.Repeat("{\"a\":1}\n", 1000)
	z := compress(t, events)
	in, err := Open(Stdin, bytes.NewReader(z[:len(z)-9]))
	if err != nil {
		t.Fatal(err)
	}
	got := told(t, in, Options{})
	if n := len(got); n < 2 || got[0] != `0@1 {"a":1}` || !strings.HasSuffix(got[n-1], ": decompress: unexpected EOF") {
		t.Errorf("of a file that is cut off: %d, ... %s", n, got[n-1])
	}
	if _, err := io.ReadAll(in); hint(err) != "the file is cut off: copy it again from where it is whole" {
		t.Errorf("%v has hint %q", err, hint(err))
	}
	z[len(z)-6] ^= 1
	if in, err = Open(Stdin, bytes.NewReader(z)); err != nil {
		t.Fatal(err)
	}
	if got := told(t, in, Options{}); !strings.HasSuffix(got[len(got)-1], ": decompress: gzip: invalid checksum") {
		t.Errorf("of a file that was changed: %s", got[len(got)-1])
	}
}

// Who writes an event into a pipe and waits gets it out: no more is asked for
// than what makes it whole. BeforeRead says that there is nothing more as yet.
func TestLive(t *testing.T) {
	from, to := io.Pipe()
	defer from.Close()
	go func() {
		for range 3 {
			_, _ = to.Write([]byte("{}"))
		}
	}()
	in, err := Open(Stdin, from)
	if err != nil {
		t.Fatal(err)
	}
	waits := 0
	r := NewReader(in, Options{BeforeRead: func() { waits++ }})
	for i := range 3 {
		if e, err := r.Next(); err != nil || string(e.Data) != "{}" || waits != i+1 {
			t.Errorf("event %d is %s, %v, after %d reads", i, e.Data, err, waits)
		}
	}
	if in.Done() != 6 {
		t.Errorf("%d bytes read, want 6", in.Done())
	}
}
