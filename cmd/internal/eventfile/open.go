// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// Stdin is the name of standard input among the names of files.
const Stdin = "-"

// An Input is an open file, or standard input, that reads as what it holds
// when it is not compressed.
type Input struct {
	r    io.Reader
	gzip bool
	file *os.File     // nil for standard input, which is somebody else's
	done atomic.Int64 // bytes read of the file as it is on disk
}

// Open opens the file with the given name, or stdin when that is [Stdin]. What
// is compressed with gzip is told by its first bytes, whatever its name.
//
// Errors have a hint where there is something to do: a directory, an encoding
// or a compression that is not read here.
func Open(name string, stdin io.Reader) (*Input, error) {
	in := &Input{}
	from := stdin
	if name != Stdin {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, cli.Hint(err, "name a file that is there, or - for standard input")
		}
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.IsDir() {
			f.Close()
			return nil, cli.Hint(&fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")},
				"name the files in it, as in %s", name+string(os.PathSeparator)+"*.json")
		}
		in.file, from = f, f
	}
	if err := in.begin(from); err != nil {
		in.Close()
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return in, nil
}

// begin looks at the first bytes, no more of them than have to be there before
// the first event is whole: who writes to a pipe may wait for its answer.
func (in *Input) begin(from io.Reader) error {
	b := bufio.NewReaderSize(counting{from, &in.done}, 64<<10)
	in.r = b
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head, _ = b.Peek(max(len(head), min(b.Buffered(), 4))) // none but those that are there
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return cli.Hint(fmt.Errorf("it is %s, which is not read here", f.what), "%s", f.hint)
		}
	}
	if !bytes.HasPrefix(head, []byte("\x1f\x8b")) {
		return nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return damaged(err)
	}
	in.r, in.gzip = z, true
	return nil
}

// foreign are formats that people have events in, by how they begin.
var foreign = []struct{ magic, what, hint string }{
	{"\xff\xfe", "UTF-16", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"},
	{"\xfe\xff", "UTF-16", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it: zstd -dc FILE | docket validate -"},
	{"BZh", "compressed with bzip2", "decompress it: bzip2 -dc FILE | docket validate -"},
	{"PK\x03\x04", "a zip archive", "unpack it: unzip -p FILE | docket validate -"},
	{"PAR1", "Parquet", "convert it to JSON, one event a line"},
}

// Read implements [io.Reader].
func (in *Input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if in.gzip && err != nil && !errors.Is(err, io.EOF) {
		err = damaged(err)
	}
	return n, err
}

// damaged is the error of what gzip cannot read.
func damaged(err error) error {
	err = fmt.Errorf("decompress: %w", err)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return cli.Hint(err, "the file is cut off: copy it again from where it is whole")
	}
	return err
}

// Close closes the file; standard input stays open.
func (in *Input) Close() error {
	if in.file == nil {
		return nil
	}
	return in.file.Close()
}

// Done returns how many bytes of the file, as it is on disk, were read. It may
// be asked while another goroutine reads.
func (in *Input) Done() int64 { return in.done.Load() }

// counting adds to n what is read.
type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
