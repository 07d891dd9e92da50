// SPDX-License-Identifier: Apache-2.0

package query

import (
	"strings"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/sql"
)

const (
	selectHint = "one SELECT over the views events, operations, evaluations; docket only reads"
	quoteHint  = "texts stand in '...', names in \"...\" or `...`"
)

// maxText bounds a query in bytes.
const maxText = 64 << 10

type tokenKind int

const (
	word   tokenKind = iota // a keyword, a name, a number
	name                    // a quoted name
	text                    // a quoted text
	symbol                  // one character of everything else
)

// A token is a piece of a query as it stands there. What is quoted stands in its
// quotes; a name in those of ours.
type token struct {
	kind tokenKind
	text string
	// joined says that there was nothing between it and the one before.
	joined bool
}

// is reports whether the token is a keyword, or a symbol.
func (t token) is(s string) bool {
	return (t.kind == word || t.kind == symbol) && strings.EqualFold(t.text, s)
}

// scan cuts a query into tokens. Comments are left out, and what a server might cut
// another way is refused: then what the tokens are put together to is read by it as
// it was here.
func scan(query string) ([]token, error) {
	if len(query) > maxText {
		return nil, sql.Refuse("send at most 64 KiB", "%d bytes", len(query))
	}
	var all []token
	for at := 0; at < len(query); {
		begun := at
		c := query[at]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
			at++
			continue
		case strings.HasPrefix(query[at:], "--"):
			if end := strings.IndexByte(query[at:], '\n'); end >= 0 {
				at += end
			} else {
				at = len(query)
			}
			continue
		case strings.HasPrefix(query[at:], "/*"):
			end := strings.Index(query[at+2:], "*/")
			if end < 0 || strings.Contains(query[at+2:at+2+end], "/*") {
				return nil, sql.Refuse("end it with */, with no other in it", "a comment without an end")
			}
			at += end + 4
			continue
		case c == '\'' || c == '"' || c == '`':
			end, err := quoted(query, at)
			if err != nil {
				return nil, err
			}
			at = end
			if c == '\'' {
				all = append(all, token{kind: text, text: query[begun:at]})
				break
			}
			q := string(c)
			all = append(all, token{kind: name, text: filter.ClickHouse.Column(strings.ReplaceAll(query[begun+1:at-1], q+q, q))})
		case isWord(c):
			for at < len(query) && isWord(query[at]) {
				at++
			}
			all = append(all, token{kind: word, text: query[begun:at]})
		case strings.IndexByte("()[],.;:+-*/%=<>!|?", c) >= 0:
			at++
			all = append(all, token{kind: symbol, text: query[begun:at]})
		default:
			return nil, sql.Refuse(quoteHint, "the character %q outside of quotes", firstRune(query[at:]))
		}
		all[len(all)-1].joined = len(all) > 1 && begun > 0 && joins(query, begun)
	}
	return all, nil
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

func isWord(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// joins reports whether a token that begins at a place follows the one before at once.
func joins(query string, at int) bool {
	return strings.IndexByte(" \t\r\n\f\v", query[at-1]) < 0 && !strings.HasSuffix(query[:at], "*/")
}

// quoted returns where what is quoted from at on ends.
func quoted(query string, at int) (end int, err error) {
	quote := query[at]
	for i := at + 1; i < len(query); i++ {
		switch c := query[i]; {
		case c == 0:
			return 0, sql.Refuse(quoteHint, "a zero byte")
		case c == '\\' && quote != '\'', c < ' ' && quote != '\'':
			return 0, sql.Refuse("write names without", "a backslash or a control character in a name")
		case c == '\\':
			i++
		case c == quote && i+1 < len(query) && query[i+1] == quote:
			i++
		case c == quote:
			return i + 1, nil
		}
	}
	return 0, sql.Refuse(quoteHint, "quotes without an end")
}

// join puts tokens together. There is a space between any two that had one, or would
// be read as one.
func join(all []token) string {
	var b strings.Builder
	for i, t := range all {
		if i > 0 && !t.joined {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// words are keywords that change how the server reads, answers or runs what there is,
// by what they are refused for.
var refusedWords = map[string]string{
	"settings": "SETTINGS: the limits of a query are docket's",
	"outfile":  "INTO OUTFILE: an answer goes to the caller",
	"infile":   "INFILE: docket only reads the views",
	"format":   "FORMAT: an answer has the format that the caller asks the API for",
}

// prepare returns the tokens of one SELECT. A semicolon at the end is dropped.
func prepare(query string) ([]token, error) {
	all, err := scan(query)
	if err != nil {
		return nil, err
	}
	for len(all) > 0 && all[len(all)-1].is(";") {
		all = all[:len(all)-1]
	}
	if len(all) == 0 {
		return nil, sql.Refuse(selectHint, "no statement")
	}
	for i, t := range all {
		if t.is(";") {
			return nil, sql.Refuse("send one at a time", "%d statements", count(all))
		}
		// format(...) is a function, and "format" a name.
		if what := refusedWords[strings.ToLower(t.text)]; t.kind == word && what != "" && (i+1 == len(all) || !all[i+1].is("(") || !t.is("format")) {
			return nil, sql.Refuse("leave it out; quote it if it is a name", "%s", what)
		}
	}
	switch first := all[0]; {
	case first.is("SELECT"), first.is("WITH"), first.is("FROM"), first.is("("), first.is("SHOW"), first.is("DESCRIBE"), first.is("DESC"):
	default:
		return nil, sql.Refuse(selectHint, "a statement that is not a SELECT: %.20s", strings.ToUpper(first.text))
	}
	return all, nil
}

func count(all []token) int {
	n := 1
	for i, t := range all {
		if t.is(";") && i+1 < len(all) {
			n++
		}
	}
	return n
}
