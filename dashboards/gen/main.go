// SPDX-License-Identifier: Apache-2.0

// Gen writes the dashboards of package dashboards to grafana/, below the
// directory that it is run in.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/docket-audit/docket/dashboards"
)

func main() {
	for name, data := range dashboards.Files() {
		path := filepath.Join("grafana", name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}
