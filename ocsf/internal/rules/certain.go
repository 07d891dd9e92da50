// SPDX-License-Identifier: Apache-2.0

package rules

import "net/netip"

// certain holds faster ways to find out that the usual values match a pattern,
// by the first eight bytes of the SHA-256 of the pattern's text: the pattern of
// addresses alone takes RE2 microseconds. A pattern that a later schema changes
// is not found here, and is then slow, not wrong.
var certain = map[string]func(s []byte) bool{
	"607b3482693ff9c4": isAddress,
	"b3d4d03e71b6c505": isUUID,
	"d2a351c1f4add4b4": isDatetime,
}

// isAddress takes the usual forms of IPv4 and IPv6 addresses, no zones.
func isAddress(s []byte) bool {
	if isIPv4(s) {
		return true
	}
	for _, c := range s {
		if c == '%' {
			return false
		}
	}
	var a netip.Addr
	return len(s) > 0 && len(s) <= len("0000:0000:0000:0000:0000:0000:255.255.255.255") && a.UnmarshalText(s) == nil
}

func isIPv4(s []byte) bool {
	octets, digits, v := 0, 0, 0
	for _, c := range s {
		switch {
		case c == '.' && digits > 0:
			octets, digits, v = octets+1, 0, 0
		case '0' <= c && c <= '9' && (digits == 0 || v > 0):
			if digits, v = digits+1, 10*v+int(c-'0'); v > 255 {
				return false
			}
		default:
			return false
		}
	}
	return octets == 3 && digits > 0
}

func isUUID(s []byte) bool { return has(s, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh") }

// isDatetime takes dates with the letters T and Z.
func isDatetime(s []byte) bool {
	const seconds = "dddd-dd-ddTdd:dd:dd"
	if len(s) <= len(seconds) || !has(s[:len(seconds)], seconds) {
		return false
	}
	rest, end := s[len(seconds):len(s)-1], s[len(s)-1]
	if len(rest) == 1 || len(rest) > 1 && rest[0] != '.' {
		return false
	}
	for _, c := range rest[min(1, len(rest)):] {
		if c < '0' || '9' < c {
			return false
		}
	}
	return end == 'Z'
}

// has compares s with a shape, in which d is a digit, h a hexadecimal digit and
// any other byte itself.
func has(s []byte, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i, c := range s {
		digit := '0' <= c && c <= '9'
		switch shape[i] {
		case 'd':
			if !digit {
				return false
			}
		case 'h':
			if !digit && (c|0x20 < 'a' || 'f' < c|0x20) {
				return false
			}
		default:
			if c != shape[i] {
				return false
			}
		}
	}
	return true
}
