// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
)

// Count says how many of something there are, as people read it: "2,311 events".
func Count(n int64, one string) string {
	if n == 1 || n == -1 {
		return strconv.FormatInt(n, 10) + " " + one
	}
	return Thousands(n) + " " + one + "s"
}

// Thousands writes a number with commas.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	digits := s
	if n < 0 {
		digits = s[1:]
	}
	out := ""
	for len(digits) > 3 {
		out = "," + digits[len(digits)-3:] + out
		digits = digits[:len(digits)-3]
	}
	if n < 0 {
		return "-" + digits + out
	}
	return digits + out
}

// Interrupted prints what was done to stderr, if it was ^C that ended it: nobody
// else wants to be told.
func Interrupted(ctx context.Context, stderr io.Writer, n int64, one string) {
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, Count(n, one))
	}
}
