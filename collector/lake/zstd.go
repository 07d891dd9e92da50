// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// segmentLevel is the level of zstd that segments are compressed with; 3 takes a
// third longer and saves nothing.
const segmentLevel = 1

// An encoder is Arrow's zstd, but for one thing: Arrow makes an encoder for each
// page, with tables of a megabyte, which takes longer than to compress the page. One
// serves them all, also at the same time. The bytes are the same.
type encoder struct {
	compress.Codec
	segments *zstd.Encoder
}

// EncodeLevel implements [compress.Codec].
func (e *encoder) EncodeLevel(dst, src []byte, level int) []byte {
	if level != segmentLevel {
		return e.Codec.EncodeLevel(dst, src, level)
	}
	return e.segments.EncodeAll(src, dst[:0])
}

// Arrow's table of codecs has no lock: it may be changed while the program begins,
// and not later.
var _ = func() *encoder {
	arrows, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(fmt.Sprintf("lake: Arrow has no zstd: %v", err))
	}
	segments, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(segmentLevel)))
	if err != nil {
		panic(fmt.Sprintf("lake: make an encoder: %v", err))
	}
	e := &encoder{arrows, segments}
	compress.RegisterCodec(compress.Codecs.Zstd, e)
	return e
}()
