// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A pageHeader is what stands before the bytes of each page of a column, as far
// as it matters here. Parquet has it in Thrift's compact protocol; what Arrow
// reads it with is its own.
type pageHeader struct {
	kind     int64 // dataPage is all that is read
	plain    int64 // bytes when decompressed
	packed   int64 // bytes in the file, without the header
	values   int64
	encoding int64 // encodingPlain is all that is read
	size     int   // of the header itself
}

// Numbers of parquet.thrift.
const (
	dataPage      = 0
	encodingPlain = 0
)

// errShort says that a header goes on behind the bytes that are there.
var errShort = errors.New("the page's header is cut short")

// parsePageHeader reads the header that b begins with.
func parsePageHeader(b []byte) (pageHeader, error) {
	h := pageHeader{kind: -1, plain: -1, packed: -1, values: -1, encoding: -1}
	t := thrift{b: b}
	err := t.fields(func(id, kind int) (err error) {
		switch id {
		case 1:
			h.kind, err = t.integer(kind)
		case 2:
			h.plain, err = t.integer(kind)
		case 3:
			h.packed, err = t.integer(kind)
		case 5: // data_page_header
			if kind != thriftStruct {
				return errThrift
			}
			return t.fields(func(id, kind int) (err error) {
				switch id {
				case 1:
					h.values, err = t.integer(kind)
				case 2:
					h.encoding, err = t.integer(kind)
				default:
					err = t.skip(kind)
				}
				return err
			})
		default:
			err = t.skip(kind)
		}
		return err
	})
	h.size = len(b) - len(t.b)
	return h, err
}

// usable says why a page cannot be read, if so.
func (h *pageHeader) usable() error {
	switch {
	case h.kind != dataPage:
		return fmt.Errorf("%w: a page is of kind %d", ErrLayout, h.kind)
	case h.encoding != encodingPlain:
		return fmt.Errorf("%w: a page has encoding %d", ErrLayout, h.encoding)
	case h.values <= 0 || h.plain < 0 || h.packed < 0:
		return fmt.Errorf("%w: a page has %d values in %d bytes", ErrSegment, h.values, h.packed)
	}
	return nil
}

// thrift reads the compact protocol.
type thrift struct {
	b     []byte // what is left
	depth int
}

// The compact protocol's types.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12

	thriftDepth = 16 // structs within structs; a page header has 3
)

var errThrift = fmt.Errorf("%w: a page's header cannot be read", ErrSegment)

// fields calls each with the id and type of each field of a struct; it must
// read or skip the value.
func (t *thrift) fields(each func(id, kind int) error) error {
	if t.depth++; t.depth > thriftDepth {
		return errThrift
	}
	for id := 0; ; {
		head, err := t.byte()
		if err != nil {
			return err
		}
		if head == 0 {
			t.depth--
			return nil
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			n, err := t.integer(thriftI16)
			if err != nil {
				return err
			}
			id = int(n)
		}
		if err := each(id, int(head&15)); err != nil {
			return err
		}
	}
}

func (t *thrift) byte() (byte, error) {
	if len(t.b) == 0 {
		return 0, errShort
	}
	v := t.b[0]
	t.b = t.b[1:]
	return v, nil
}

func (t *thrift) uvarint() (uint64, error) {
	v, n := binary.Uvarint(t.b)
	switch {
	case n == 0:
		return 0, errShort
	case n < 0:
		return 0, errThrift
	}
	t.b = t.b[n:]
	return v, nil
}

// integer reads a number of any width.
func (t *thrift) integer(kind int) (int64, error) {
	if kind != thriftI16 && kind != thriftI32 && kind != thriftI64 {
		return 0, errThrift
	}
	v, err := t.uvarint()
	return int64(v>>1) ^ -int64(v&1), err
}

func (t *thrift) bytes(n uint64) error {
	if n > uint64(len(t.b)) {
		return errShort
	}
	t.b = t.b[n:]
	return nil
}

// skip passes over a value.
func (t *thrift) skip(kind int) error {
	switch kind {
	case thriftTrue, thriftFalse: // the type is the value
		return nil
	case thriftByte:
		return t.bytes(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := t.uvarint()
		return err
	case thriftDouble:
		return t.bytes(8)
	case thriftBinary:
		n, err := t.uvarint()
		if err != nil {
			return err
		}
		return t.bytes(n)
	case thriftStruct:
		return t.fields(func(_, kind int) error { return t.skip(kind) })
	default: // lists, sets and maps, of which a page's header has none
		return errThrift
	}
}
