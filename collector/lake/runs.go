// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"iter"
)

// byCommit is the order of the files of a manifest.
func byCommit(a, b File) int {
	return cmp.Or(cmp.Compare(a.FirstCommit, b.FirstCommit), cmp.Compare(a.Path, b.Path))
}

// Runs yields the files of a manifest in runs: those whose commits overlap. A
// segment that a flush wrote is a run of its own; the files that a compaction
// made of some of these are one run, or several. All rows of a commit are in
// one run, and every commit of a run is before those of the next.
func Runs(files []File) iter.Seq[[]File] {
	return func(yield func([]File) bool) {
		begin, last := 0, uint64(0)
		for i := range files {
			if i > begin && files[i].FirstCommit > last {
				if !yield(files[begin:i:i]) {
					return
				}
				begin = i
			}
			last = max(last, files[i].LastCommit)
		}
		if begin < len(files) {
			yield(files[begin:])
		}
	}
}
