// SPDX-License-Identifier: Apache-2.0

package strictoml

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A File is a parsed TOML file: its values, and the line of every key. It does
// not change after [Parse].
type File struct {
	name  string
	root  map[string]any
	lines map[string]int // by path, see child and element
}

// Parse reads a TOML document. The name is what errors call it.
func Parse(name string, data []byte) (*File, error) {
	f := &File{name: name, root: map[string]any{}, lines: map[string]int{}}
	if err := toml.Unmarshal(data, &f.root); err != nil {
		return nil, f.syntaxError(err)
	}
	f.index(data)
	return f, nil
}

// Name is what errors call the file.
func (f *File) Name() string { return f.name }

// Root is the position of the file's top.
func (f *File) Root() Pos { return Pos{file: f} }

func (f *File) syntaxError(err error) error {
	e := &Error{File: f.name, Msg: strings.TrimPrefix(err.Error(), "toml: "), hint: "the file is not valid TOML (https://toml.io)"}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		e.Line, _ = decode.Position()
	}
	return e
}

// A Pos is a table of a file. The zero Pos belongs to no file.
type Pos struct {
	file *File
	path string
}

// Has reports whether the table has the key.
func (p Pos) Has(key string) bool {
	if p.file == nil {
		return false
	}
	_, ok := p.file.lines[child(p.path, key)]
	return ok
}

// Line is the line of a key of the table, or, without such a key, of the
// table itself.
func (p Pos) Line(key string) int {
	if p.file == nil {
		return 0
	}
	if line, ok := p.file.lines[child(p.path, key)]; ok {
		return line
	}
	return p.file.lines[p.path]
}

// At gives "FILE:LINE" of a key of the table.
func (p Pos) At(key string) string {
	if p.file == nil {
		return ""
	}
	if line := p.Line(key); line > 0 {
		return p.file.name + ":" + strconv.Itoa(line)
	}
	return p.file.name
}

// Errorf makes an error about a key of the table, or about the table itself
// when it has no such key.
func (p Pos) Errorf(key, hint, format string, args ...any) *Error {
	e := &Error{Line: p.Line(key), Msg: fmt.Sprintf(format, args...), hint: hint}
	if p.file != nil {
		e.File = p.file.name
	}
	return e
}

// separator stands between the parts of a path. TOML forbids control
// characters in bare keys and escapes them in quoted ones; a key that contains
// it all the same could only ever confuse the line of an error.
const separator = "\x1f"

func child(path, key string) string { return path + separator + key }

func element(path string, i int) string { return path + separator + "[" + strconv.Itoa(i) + "]" }

// index records the line of every table and key. The values come from the
// TOML library's decoder, which has accepted the document already; its parser
// is only asked where things are.
func (f *File) index(data []byte) {
	x := indexer{lines: f.lines, last: map[string]int{}}
	for i, b := range data {
		if b == '\n' {
			x.breaks = append(x.breaks, i)
		}
	}
	var p unstable.Parser
	p.Reset(data)
	prefix := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table:
			prefix = x.walk("", e.Key())
		case unstable.ArrayTable:
			prefix = x.walk("", e.Key())
			line := x.lines[prefix]
			n, again := x.last[prefix]
			if again {
				n++
			}
			x.last[prefix] = n
			prefix = element(prefix, n)
			x.lines[prefix] = line
		case unstable.KeyValue:
			x.keyValue(prefix, e)
		default: // comments
		}
	}
}

type indexer struct {
	lines  map[string]int
	last   map[string]int // array tables by path: index of the newest element
	breaks []int          // offsets of the line breaks
}

// walk follows a dotted key from a path and returns where it leads. Steps
// through an array table go to its newest element, as TOML says.
func (x *indexer) walk(path string, key unstable.Iterator) string {
	for key.Next() {
		if n, ok := x.last[path]; ok {
			path = element(path, n)
		}
		node := key.Node()
		path = child(path, string(node.Data))
		x.lines[path] = x.line(node)
	}
	return path
}

func (x *indexer) line(node *unstable.Node) int {
	return 1 + sort.SearchInts(x.breaks, int(node.Raw.Offset))
}

func (x *indexer) keyValue(prefix string, e *unstable.Node) {
	path := x.walk(prefix, e.Key())
	x.value(path, e.Value())
}

func (x *indexer) value(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			x.keyValue(path, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			x.lines[element(path, i)] = x.lines[path]
			x.value(element(path, i), it.Node())
			i++
		}
	default: // scalars have the line of their key
	}
}
