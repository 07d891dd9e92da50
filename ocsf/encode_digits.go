// SPDX-License-Identifier: Apache-2.0

package ocsf

import "math/bits"

// maxDigits is how many bytes putDigits may write to: 16 digits and a comma.
const maxDigits = 17

// putDigits writes the digits of n, which is from 1 to 10^16-1, and a comma to b,
// of which there must be maxDigits bytes, and returns how many they are. What is
// behind them is spoilt.
func putDigits(b []byte, n uint64) int {
	const half = 100_000_000
	_ = b[maxDigits-1]
	if n < half {
		word := eightDigits(n)
		zeros := bits.TrailingZeros64(word) & 56
		store(b, 0, (word|'0'*ones)>>zeros)
		digits := 8 - zeros>>3
		b[digits] = ','
		return digits + 1
	}
	word := eightDigits(n / half)
	zeros := bits.TrailingZeros64(word) & 56
	store(b, 0, (word|'0'*ones)>>zeros)
	digits := 8 - zeros>>3
	store(b, digits, eightDigits(n%half)|'0'*ones)
	b[digits+8] = ','
	return digits + 9
}

// eightDigits returns the digits of n, which is below 10^8, the first in the
// lowest byte. It splits fours, then twos, then ones, all of a kind at once, by
// multiplications instead of divisions.
func eightDigits(n uint64) uint64 {
	fours := n/10000 | n%10000<<32
	hundreds := fours * 10486 >> 20 & 0x7f_0000_007f
	twos := hundreds | (fours-100*hundreds)<<16
	tens := twos * 103 >> 10 & 0x0f_000f_000f_000f
	return tens | (twos-10*tens)<<8
}
