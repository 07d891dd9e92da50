// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"fmt"
	"strconv"
	"strings"
)

// index reads an array index below n: digits without a leading zero.
func index(token string, n int) (int, error) {
	if token == "" || len(token) > 1 && token[0] == '0' || strings.Trim(token, "0123456789") != "" {
		return 0, fmt.Errorf("%q is no array index", token)
	}
	i, err := strconv.Atoi(token)
	if err != nil || i >= n {
		return 0, fmt.Errorf("index %s is out of range", token)
	}
	return i, nil
}

// splitPointer returns the unescaped tokens of a JSON Pointer (RFC 6901).
func splitPointer(pointer string) ([]string, error) {
	if pointer == "" {
		return nil, nil
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("%q is no JSON Pointer: it must begin with /", pointer)
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, token := range tokens {
		if !strings.Contains(token, "~") {
			continue
		}
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(token), "~") {
			return nil, fmt.Errorf("%q is no JSON Pointer: after ~ only 0 or 1 may follow", pointer)
		}
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	}
	return tokens, nil
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

func joinPointer(tokens []string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(escapePointer.Replace(token))
	}
	return b.String()
}
