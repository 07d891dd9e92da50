// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package main

import (
	"net/http"
	"regexp"
	"strconv"
)

// An exception is an error of ClickHouse, in its own words.
type exception struct {
	code int // 0 if the text has none
	text string
}

func (e *exception) Error() string { return e.text }

var withCode = regexp.MustCompile(`Code: (\d+)\. `)

// parseException reads the code out of an error's text. What libchdb says before
// it, a server does not say.
func parseException(text string) *exception {
	m := withCode.FindStringSubmatchIndex(text)
	if m == nil {
		return &exception{text: text}
	}
	code, err := strconv.Atoi(text[m[2]:m[3]])
	if err != nil {
		return &exception{text: text}
	}
	return &exception{code: code, text: text[m[0]:]}
}

// Codes of ClickHouse that are used here.
const (
	codeSyntax      = 62
	codeUnsupported = 344
)

// status is what a server answers with an exception.
func (e *exception) status() int {
	switch e.code {
	case 36, 62, 46, 47, 27, 6, 26, 38, 41, 72, 53, 70, 43, 16, 10, 20, 44, 50, 42, 456, 457:
		// what was asked cannot be: arguments, syntax, types, parameters
		return http.StatusBadRequest
	case 60, 81, 115, 48:
		return http.StatusNotFound
	case 164, 497:
		return http.StatusForbidden
	default:
		return http.StatusInternalServerError
	}
}
