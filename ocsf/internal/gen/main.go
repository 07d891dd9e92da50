// SPDX-License-Identifier: Apache-2.0

// Gen makes the catalogs of OCSF from compiled schemas, and Go from the
// catalogs.
//
// The first step needs schemas as the official compiler writes them, one file
// VERSION.json each in the directory -compiled. They are no part of this
// repository; where they are not, the catalogs stay as they are. The second
// step needs nothing but the catalogs.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	compiled := flag.String("compiled", "", "`directory` of compiled schemas; without them the catalogs stay as they are")
	catalogs := flag.String("catalogs", "schemas/ocsf/catalog", "`directory` of the catalogs")
	goDir := flag.String("go", "ocsf", "`directory` of the Go types")
	flag.Parse()
	if err := run(*compiled, *catalogs, *goDir, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(compiled, catalogs, goDir string, log io.Writer) error {
	if err := writeCatalogs(compiled, catalogs, log); err != nil {
		return err
	}
	schemas, err := readCatalogs(catalogs)
	if err != nil {
		return err
	}
	return writeGo(schemas, goDir)
}
