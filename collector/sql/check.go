// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"encoding/json"
	"fmt"
	"strings"
)

// maxText bounds a query in bytes: what the parser takes of memory and time
// grows faster than the text, and it cannot be interrupted.
const maxText = 64 << 10

func checkLength(text string) error {
	if len(text) > maxText {
		return &StatementError{Found: fmt.Sprintf("%d bytes", len(text)), hint: "send at most 64 KiB"}
	}
	return nil
}

// tableFunctions are those that a query may call. They compute, or describe the
// views; every other one reads files, settings or the engine's inner life.
var tableFunctions = map[string]bool{
	"duckdb_columns": true, "duckdb_functions": true, "duckdb_keywords": true, "duckdb_tables": true,
	"duckdb_types": true, "duckdb_views": true, "generate_series": true, "histogram": true,
	"histogram_values": true, "json_each": true, "json_tree": true, "pragma_table_info": true,
	"pragma_version": true, "range": true, "repeat": true, "summary": true, "unnest": true,
}

// A parsed is what DuckDB's json_serialize_sql says of a text.
type parsed struct {
	Error        bool   `json:"error"`
	ErrorType    string `json:"error_type"`
	ErrorMessage string `json:"error_message"`
	Statements   []any  `json:"statements"`
}

// judge decides whether a text, of which the parser says answer, may run.
func judge(text string, answer []byte) error {
	var p parsed
	if err := json.Unmarshal(answer, &p); err != nil {
		// DuckDB writes 1e400 as Infinity, which is no JSON.
		return &StatementError{Found: "something that cannot be judged, such as a number beyond all that DOUBLE holds", hint: "'inf'::DOUBLE is infinity, and '1e400' is text"}
	}
	switch {
	case p.Error && p.ErrorType == "not implemented":
		return &StatementError{Found: "a statement that is not a SELECT: " + firstWord(text), hint: selectHint}
	case p.Error:
		return &StatementError{Found: p.ErrorMessage, hint: selectHint}
	case len(p.Statements) == 0:
		return &StatementError{Found: "no statement", hint: selectHint}
	case len(p.Statements) > 1:
		return &StatementError{Found: fmt.Sprintf("%d statements", len(p.Statements)), hint: "send one at a time"}
	}
	var refused string
	walk(p.Statements[0], func(function string) {
		if refused == "" && !tableFunctions[strings.ToLower(function)] {
			refused = function
		}
	})
	if refused != "" {
		return &StatementError{
			Found: fmt.Sprintf("table function %.80q", refused),
			hint:  "query the views: SHOW TABLES lists them",
		}
	}
	return nil
}

const selectHint = "one SELECT over the views events, operations, evaluations; docket only reads"

// walk tells the name of each table function in a parse tree. Text of the query
// stands only in values of the tree, never in its keys.
func walk(node any, tell func(function string)) {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			walk(child, tell)
		}
	case map[string]any:
		if n["type"] == "TABLE_FUNCTION" {
			f, _ := n["function"].(map[string]any)
			name, _ := f["function_name"].(string)
			tell(name)
		}
		for _, child := range n {
			walk(child, tell)
		}
	}
}

// firstWord returns the word that a text begins with, behind comments.
func firstWord(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v;(")
		rest, line := strings.CutPrefix(text, "--")
		block := strings.HasPrefix(text, "/*")
		switch {
		case line:
			_, text, _ = strings.Cut(rest, "\n")
		case block:
			_, text, _ = strings.Cut(text, "*/")
		default:
			end := strings.IndexFunc(text, func(r rune) bool { return r != '_' && (r < 'A' || r > 'z') })
			if end < 0 {
				end = len(text)
			}
			return strings.ToUpper(text[:min(end, 20)])
		}
	}
}
