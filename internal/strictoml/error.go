// SPDX-License-Identifier: Apache-2.0

package strictoml

import (
	"fmt"
	"slices"
	"strings"
)

// An Error is what is wrong with a file, and where.
type Error struct {
	File string
	Line int // from 1; 0 when it is the whole file
	Msg  string
	hint string
}

// Error gives "FILE:LINE: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Hint says what the reader can do about it; it may be empty.
func (e *Error) Hint() string { return e.hint }

// Suggest returns the word of known that was most likely meant by word, or "".
func Suggest(word string, known []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" || len(word) < 4 {
		return best
	}
	// "endpoint" for "grpc_endpoint" is far by letters and near by meaning.
	i := slices.IndexFunc(known, func(k string) bool {
		return strings.Contains(k, word) || len(k) >= 4 && strings.Contains(word, k)
	})
	if i < 0 {
		return ""
	}
	return known[i]
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to make a from b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
