// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docket-audit/docket/ocsf/schema"
)

// writeCatalogs makes the catalog of each version from its compiled schema. A
// version without one is left alone, and log is told.
func writeCatalogs(compiled, catalogs string, log io.Writer) error {
	for _, version := range schema.Versions() {
		from := filepath.Join(compiled, version+".json")
		text, err := os.ReadFile(from)
		if compiled == "" || errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(log, "gen: there is no compiled schema %s: the catalog stays as it is\n", from)
			continue
		}
		if err != nil {
			return err
		}
		catalog, err := makeCatalog(version, text)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		if err := os.WriteFile(filepath.Join(catalogs, version+".json"), catalog, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func makeCatalog(version string, compiled []byte) ([]byte, error) {
	s, err := schema.ReadCompiled(bytes.NewReader(compiled))
	if err != nil {
		return nil, err
	}
	if s.Version != version {
		return nil, fmt.Errorf("it is version %s, not %s", s.Version, version)
	}
	var out bytes.Buffer
	err = schema.Write(&out, s)
	return out.Bytes(), err
}

// readCatalogs reads all versions, the oldest first. It reads the files and not
// those that are built into this program, which may be older.
func readCatalogs(catalogs string) ([]*schema.Schema, error) {
	var schemas []*schema.Schema
	for _, version := range schema.Versions() {
		name := filepath.Join(catalogs, version+".json")
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s, err := schema.Read(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		schemas = append(schemas, s)
	}
	return schemas, nil
}
