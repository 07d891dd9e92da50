// SPDX-License-Identifier: Apache-2.0

// Without reads a schema of its own and needs no catalog.
package main

import (
	"fmt"
	"os"

	"github.com/docket-audit/docket/ocsf/schema"
)

func main() {
	s, err := schema.ReadCompiled(os.Stdin)
	fmt.Println(s, err, schema.Versions())
}
