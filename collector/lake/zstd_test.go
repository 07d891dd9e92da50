// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// Pages are compressed as Arrow would, many at the same time.
func TestEncoderIsArrows(t *testing.T) {
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	if _, ours := codec.(*encoder); !ours {
		t.Fatalf("segments are written by %T", codec)
	}
	pages := [][]byte{{}, []byte("a"), []byte(strings.Repeat(`{"activity_id":1,"time":1764464400000}`, 5000)), bytes.Repeat([]byte{0, 1, 2}, 1<<18)}
	var pending sync.WaitGroup
	for range 4 {
		pending.Go(func() {
			for _, page := range pages {
				fresh, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(segmentLevel)))
				if err != nil {
					t.Error(err)
					return
				}
				got, want := codec.EncodeLevel(nil, page, segmentLevel), fresh.EncodeAll(page, nil)
				if !bytes.Equal(got, want) {
					t.Errorf("a page of %d bytes is not compressed as Arrow does", len(page))
				}
				if back := codec.Decode(make([]byte, 0, len(page)), got); !bytes.Equal(back, page) {
					t.Errorf("a page of %d bytes does not come back", len(page))
				}
			}
		})
	}
	pending.Wait()
}
