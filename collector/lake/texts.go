// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	parquets "github.com/apache/arrow/go/v17/parquet/schema"
)

// A textWriter writes the texts of one column of a row group: by far the most of
// what is in a file. It makes the pages that Arrow's writer makes, to the byte, and
// takes half of its time beside compressing them: Arrow clears, grows and copies the
// memory of each page several times, and asks a hash table for each text of a
// dictionary, be it the one before again. What pages and chunks say of themselves is
// Arrow's. Not for concurrent use.
type textWriter struct {
	to    *told
	descr *parquets.Column
	meta  *metadata.ColumnChunkMetaDataBuilder
	pager countingPager // into own.pages
	props *parquet.WriterProperties
	codec compress.Codec // nil: none
	level int
	room  *room
	own   *columnRoom

	// Of the page that is being filled. Levels are there as runs.
	defs, reps runs
	places     int // with and without a text
	firsts     int // of them those that begin a row

	// Of a column with a dictionary: until it is too large, places in it are
	// written instead of texts, and pages wait for it.
	dict    *dictionary // nil: none, or no more
	hadDict bool
	waiting []*file.DataPageV1

	page, chunk *metadata.ByteArrayStatistics // nil: none
	made        metadata.EncodingStats        // how many pages of which sort there are
	rows        int
	done        bool
}

// A countingPager is Arrow's writer of pages, as far as it is needed.
type countingPager interface {
	WriteDataPage(p file.DataPage) (int64, error)
	WriteDictionaryPage(p *file.DictionaryPage) (int64, error)
	NumValues() int64
	DictionaryPageOffset() int64
	DataPageoffset() int64
	TotalCompressedSize() int64
	TotalUncompressedSize() int64
}

func newTextWriter(t *table, meta *metadata.ColumnChunkMetaDataBuilder, column int) (*textWriter, error) {
	w := &textWriter{to: t.to, descr: meta.Descr(), meta: meta, props: t.props, room: t.room, own: &t.room.columns[column]}
	path := w.descr.Path()
	if w.props.DataPageVersion() != parquet.DataPageV1 || w.props.EncodingFor(path) != parquet.Encodings.Plain {
		return nil, fmt.Errorf("no pages of column %s can be written with these properties", path)
	}
	codec := w.props.CompressionFor(path)
	if codec != compress.Codecs.Uncompressed {
		var err error
		if w.codec, err = compress.GetCodec(codec); err != nil {
			return nil, err
		}
	}
	w.level = w.props.CompressionLevelFor(path)
	w.own.pages.Reset()
	pager, err := file.NewPageWriter(&w.own.pages, codec, w.level, meta, int16(t.groups), int16(column), w.props.Allocator(), false, nil, nil)
	if err != nil {
		return nil, err
	}
	var ok bool
	if w.pager, ok = pager.(countingPager); !ok {
		return nil, fmt.Errorf("this Arrow does not say how long pages are: %T", pager)
	}
	if w.props.DictionaryEnabledFor(path) {
		w.dict, w.hadDict = &w.own.dict, true
		w.dict.reset()
	}
	if w.props.StatisticsEnabledFor(path) && w.descr.SortOrder() != parquets.SortUNKNOWN {
		w.page = metadata.NewByteArrayStatistics(w.descr, w.props.Allocator())
		w.chunk = metadata.NewByteArrayStatistics(w.descr, w.props.Allocator())
	}
	w.defs.out, w.reps.out = w.own.defs, w.own.reps
	w.begin()
	return w, nil
}

// begin begins a page.
func (w *textWriter) begin() {
	w.defs.reset(int(w.descr.MaxDefinitionLevel()))
	w.reps.reset(int(w.descr.MaxRepetitionLevel()))
	w.own.plain, w.places, w.firsts = w.own.plain[:0], 0, 0
}

// write adds texts and, of a column that has them, the levels of places. A page that
// is full ends. The texts of a column with statistics MUST stay as they are until the
// writer is closed, others until write returns.
func (w *textWriter) write(texts []parquet.ByteArray, defs, reps []int16) error {
	total := len(texts)
	if w.descr.MaxDefinitionLevel() > 0 {
		total = len(defs)
	}
	for at := 0; at < total; {
		n := min(total-at, int(w.props.WriteBatchSize()))
		there := n
		if w.descr.MaxDefinitionLevel() > 0 {
			there = w.defs.levels(defs[at:at+n], w.descr.MaxDefinitionLevel())
		}
		firsts := n
		if w.descr.MaxRepetitionLevel() > 0 {
			firsts = w.reps.levels(reps[at:at+n], 0)
		}
		if there > len(texts) {
			return fmt.Errorf("column %s has %d texts for %d places", w.descr.Path(), len(texts), there)
		}
		w.put(texts[:there])
		if w.page != nil {
			w.page.Update(texts[:there], int64(n-there))
		}
		w.places, w.firsts = w.places+n, w.firsts+firsts
		texts, at = texts[there:], at+n
		if err := w.check(); err != nil {
			return err
		}
	}
	return nil
}

// put encodes texts.
func (w *textWriter) put(texts []parquet.ByteArray) {
	if w.dict != nil {
		for _, t := range texts {
			w.dict.put(t)
		}
		return
	}
	bytes := 0
	for _, t := range texts {
		bytes += 4 + len(t)
	}
	plain := slices.Grow(w.own.plain, bytes)
	for _, t := range texts {
		plain = append(binary.LittleEndian.AppendUint32(plain, uint32(len(t))), t...)
	}
	w.own.plain = plain
}

// check ends a page that is full, and the dictionary.
func (w *textWriter) check() error {
	size := len(w.own.plain)
	if w.dict != nil {
		size = w.dict.most()
	}
	if int64(size) >= w.props.DataPageSize() {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.dict == nil || int64(len(w.dict.texts)) < w.props.DictionaryPageSizeLimit() {
		return nil
	}
	if err := w.writeDictionary(); err != nil {
		return err
	}
	if err := w.flushAll(); err != nil {
		return err
	}
	w.dict = nil
	return nil
}

// flush ends a page.
func (w *textWriter) flush() error {
	encoding := parquet.Encodings.Plain
	if w.dict != nil {
		w.own.plain, encoding = w.dict.appendPlaces(w.own.plain[:0]), w.props.DictionaryIndexEncoding()
	}
	values := w.own.plain
	page := values
	if w.descr.MaxDefinitionLevel() > 0 {
		// A column of lists of texts has both sorts of levels.
		page = w.room.page[:0]
		if w.descr.MaxRepetitionLevel() > 0 {
			page = w.reps.appendTo(page)
		}
		page = append(w.defs.appendTo(page), values...)
		w.room.page = page
	}
	var says metadata.EncodedStatistics
	if w.page != nil {
		var err error
		if says, err = w.page.Encode(); err != nil {
			return err
		}
	}
	w.bound(&says)
	if w.chunk != nil {
		w.chunk.Merge(w.page)
		w.page.Reset()
	}
	plain := len(page)
	if w.codec != nil {
		if most := int(w.codec.CompressBound(int64(plain))); cap(w.room.packed) < most {
			w.room.packed = make([]byte, most)
		}
		page = w.codec.EncodeLevel(w.room.packed[:0], page, w.level)
	}
	if w.dict != nil {
		page = slices.Clone(page)
	}
	made := file.NewDataPageV1WithStats(memory.NewBufferBytes(page), int32(w.places), encoding,
		parquet.Encodings.RLE, parquet.Encodings.RLE, int32(plain), says)
	w.rows += w.firsts
	w.begin()
	if w.dict != nil {
		w.waiting = append(w.waiting, made)
		return nil
	}
	return w.writePage(made)
}

// bound leaves out of what is said what is too long for it.
func (w *textWriter) bound(says *metadata.EncodedStatistics) {
	says.ApplyStatSizeLimits(int(w.props.MaxStatsSizeFor(w.descr.Path())))
	says.Signed = w.descr.SortOrder() == parquets.SortSIGNED
}

func (w *textWriter) writePage(p *file.DataPageV1) error {
	if w.made.DataEncodingStats == nil {
		w.made.DataEncodingStats = make(map[parquet.Encoding]int32)
	}
	w.made.DataEncodingStats[parquet.Encoding(p.Encoding())]++
	_, err := w.pager.WriteDataPage(p)
	return err
}

func (w *textWriter) writeDictionary() error {
	w.made.DictEncodingStats = map[parquet.Encoding]int32{w.props.DictionaryPageEncoding(): 1}
	p := file.NewDictionaryPage(memory.NewBufferBytes(w.dict.texts), int32(len(w.dict.known)), w.props.DictionaryPageEncoding())
	_, err := w.pager.WriteDictionaryPage(p)
	return err
}

// flushAll writes all pages, of which the last need not be full.
func (w *textWriter) flushAll() error {
	if w.places > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	for _, p := range w.waiting {
		if err := w.writePage(p); err != nil {
			return err
		}
	}
	w.waiting = nil
	return nil
}

// Close writes what is left of the column.
func (w *textWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	if w.dict != nil {
		if err := w.writeDictionary(); err != nil {
			return err
		}
	}
	if err := w.flushAll(); err != nil {
		return err
	}
	w.own.defs, w.own.reps = w.defs.out, w.reps.out
	if w.chunk != nil {
		says, err := w.chunk.Encode()
		if err != nil {
			return err
		}
		if w.bound(&says); w.rows > 0 && says.IsSet() {
			w.meta.SetStats(says)
		}
	}
	info := metadata.ChunkMetaInfo{
		NumValues: w.pager.NumValues(), IndexPageOffset: -1, DataPageOffset: w.to.n + w.pager.DataPageoffset(),
		CompressedSize: w.pager.TotalCompressedSize(), UncompressedSize: w.pager.TotalUncompressedSize(),
	}
	if w.hadDict {
		info.DictPageOffset = w.to.n + w.pager.DictionaryPageOffset()
	}
	if err := w.meta.Finish(info, w.hadDict, w.hadDict && w.dict == nil, w.made, nil); err != nil {
		return err
	}
	if _, err := w.meta.WriteTo(&w.own.pages); err != nil {
		return err
	}
	_, err := w.to.Write(w.own.pages.b)
	return err
}

// RowsWritten returns how many rows were written.
func (w *textWriter) RowsWritten() int { return w.rows + w.firsts }

// TotalBytesWritten returns how many bytes the pages have.
func (w *textWriter) TotalBytesWritten() int64 { return w.pager.TotalCompressedSize() }

// A dictionary has each text of a column once, in the order in which they came.
type dictionary struct {
	places map[string]int32
	known  []string
	texts  []byte // as they are written
	rows   []int32
	last   int32
}

func (d *dictionary) reset() {
	if d.places == nil {
		d.places = make(map[string]int32)
	}
	clear(d.places)
	clear(d.known)
	d.known, d.texts, d.rows, d.last = d.known[:0], d.texts[:0], d.rows[:0], 0
}

func (d *dictionary) put(text []byte) {
	// The one before comes again most often.
	if len(d.known) == 0 || d.known[d.last] != string(text) {
		place, ok := d.places[string(text)]
		if !ok {
			place = int32(len(d.known))
			own := string(text)
			d.places[own], d.known = place, append(d.known, own)
			d.texts = append(binary.LittleEndian.AppendUint32(d.texts, uint32(len(text))), text...)
		}
		d.last = place
	}
	d.rows = append(d.rows, d.last)
}

// width is how many bits a place has.
func (d *dictionary) width() int {
	if len(d.known) == 1 {
		return 1
	}
	return bitsFor(len(d.known) - 1)
}

// most is what Arrow thinks that the places can take, by which it ends a page.
func (d *dictionary) most() int {
	width, bytes := d.width(), (len(d.rows)+7)/8
	most := max(bytes+bytes*width, bytes*(1+(width+7)/8))
	return 1 + most + max(1+64*width, binary.MaxVarintLen32+(width+7)/8)
}

// appendPlaces appends the places of the rows since the last time.
func (d *dictionary) appendPlaces(to []byte) []byte {
	to = append(to, byte(d.width()))
	r := runs{width: d.width(), out: to}
	r.restart()
	for i := 0; i < len(d.rows); {
		n := 1
		for i+n < len(d.rows) && d.rows[i+n] == d.rows[i] {
			n++
		}
		r.put(uint32(d.rows[i]), n)
		i += n
	}
	r.finish()
	d.rows = d.rows[:0]
	return r.out
}
