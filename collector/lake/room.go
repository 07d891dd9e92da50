// SPDX-License-Identifier: Apache-2.0

package lake

// A room is the memory that a table is written with, for the next table: to make it
// anew for each file takes a part of the time of writing it, and of all others in the
// process by what the garbage collector does. The zero value is ready. For one table
// at a time.
type room struct {
	page, packed []byte // one page on its way into the file
	chunks       []chunk
	columns      []columnRoom
	file         fileBuffer // of a file that is made in memory
}

// A columnRoom is that of one column.
type columnRoom struct {
	plain      []byte // the page that is being filled
	defs, reps []byte
	pages      fileBuffer // of the row group
	dict       dictionary
}

// keptBytes is how long what is kept may be each: a page, and what a few very long
// events do not make of it.
const keptBytes = 4 << 20

// fit makes room for columns, in which nothing is left of those before.
func (r *room) fit(columns int) {
	for len(r.columns) < columns {
		r.columns = append(r.columns, columnRoom{})
	}
	for len(r.chunks) < columns {
		r.chunks = append(r.chunks, chunk{})
	}
	for i := range r.chunks {
		r.chunks[i].empty()
	}
}

// trim gives away what is too long to be kept.
func (r *room) trim() {
	keep := func(buffers ...*[]byte) {
		for _, b := range buffers {
			if cap(*b) > keptBytes {
				*b = nil
			}
		}
	}
	keep(&r.page, &r.packed)
	for i := range r.columns {
		c := &r.columns[i]
		keep(&c.plain, &c.defs, &c.reps, &c.pages.b)
		if cap(c.dict.texts) > keptBytes {
			c.dict = dictionary{}
		}
	}
	if cap(r.file.b) > 8*keptBytes {
		r.file.b = nil
	}
}

// A fileBuffer is written to from its beginning to its end.
type fileBuffer struct{ b []byte }

// Reset empties it.
func (f *fileBuffer) Reset() { f.b = f.b[:0] }

// Write never fails.
func (f *fileBuffer) Write(b []byte) (int, error) {
	f.b = append(f.b, b...)
	return len(b), nil
}

// Tell returns its length.
func (f *fileBuffer) Tell() int64 { return int64(len(f.b)) }
