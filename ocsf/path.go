// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"encoding/json"
	"strconv"
	"strings"
)

// pathAt returns the path of the value that the JSON text b breaks off in, such
// as metadata.loggers[0].uid. Only errors ask for it, so that neither encoder
// nor decoder keeps track of where it is.
func pathAt(b []byte) string {
	// A frame is an object or array that is open.
	type frame struct {
		array bool
		index int
		name  string
	}
	const most = 64 // frames that are told; hostile text has more
	var open []frame
	deeper := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			if len(open) == most {
				deeper++
			} else {
				open = append(open, frame{array: b[i] == '['})
			}
		case '}', ']':
			if deeper > 0 {
				deeper--
			} else if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case ',':
			if len(open) > 0 && deeper == 0 {
				open[len(open)-1].index++
			}
		case '"':
			start := i
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if last := len(open) - 1; last >= 0 && deeper == 0 && !open[last].array && isName(b, start) && i < len(b) {
				_ = json.Unmarshal(b[start:i+1], &open[last].name) // one that is no string keeps the name before it
			}
		}
	}
	var p strings.Builder
	for _, f := range open {
		switch {
		case f.array:
			p.WriteString("[" + strconv.Itoa(f.index) + "]")
		case f.name != "":
			if p.Len() > 0 {
				p.WriteByte('.')
			}
			p.WriteString(f.name)
		}
	}
	if deeper > 0 {
		p.WriteString("...")
	}
	return p.String()
}

// isName says whether the string that starts at b[i] is a member's name, by what
// stands before it.
func isName(b []byte, i int) bool {
	for i--; i >= 0; i-- {
		switch b[i] {
		case ' ', '\t', '\n', '\r':
		case '{', ',':
			return true
		default:
			return false
		}
	}
	return false
}
