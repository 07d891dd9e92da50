// SPDX-License-Identifier: Apache-2.0

// Promlint parses every PromQL expression of the dashboards and rule files
// below the given directories with Prometheus' own parser, and fails on the
// first that Prometheus would refuse. It lives among the tools because the
// parser would bring its dependencies into the product's go.sum.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

// Grafana fills these in before Prometheus sees the expression.
var macros = strings.NewReplacer("$__rate_interval", "1m", "$__interval", "1m", "$__range", "1h")

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: promlint DIR ...")
		os.Exit(2)
	}
	found := 0
	for _, dir := range os.Args[1:] {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			n, err := check(path)
			found += n
			return err
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "promlint:", err)
			os.Exit(1)
		}
	}
	if found == 0 {
		fmt.Fprintln(os.Stderr, "promlint: no expression found, which cannot be right")
		os.Exit(1)
	}
	fmt.Printf("promlint: %d expressions\n", found)
}

// check parses every value of a key "expr", at any depth, of a JSON or YAML
// file; other files hold none.
func check(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	var doc any
	switch filepath.Ext(path) {
	case ".json":
		err = json.Unmarshal(data, &doc)
	case ".yml", ".yaml":
		err = yaml.Unmarshal(data, &doc)
	default:
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	p := parser.NewParser(parser.Options{})
	var errs []error
	n := 0
	walk(doc, func(expr string) {
		n++
		if _, err := p.ParseExpr(macros.Replace(expr)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", path, expr, err))
		}
	})
	return n, errors.Join(errs...)
}

func walk(v any, visit func(expr string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, w := range v {
			if s, ok := w.(string); ok && k == "expr" {
				visit(s)
				continue
			}
			walk(w, visit)
		}
	case []any:
		for _, w := range v {
			walk(w, visit)
		}
	}
}
