// SPDX-License-Identifier: Apache-2.0

// With needs a catalog.
package main

import (
	"fmt"

	"github.com/docket-audit/docket/ocsf/schema"
)

func main() {
	s, err := schema.Load(schema.Default)
	fmt.Println(s, err)
}
