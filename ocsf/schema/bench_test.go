// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"testing"

	"github.com/docket-audit/docket/schemas/ocsf"
)

// Loading is to take at most 5 ms on one core.
func BenchmarkLoad(b *testing.B) {
	for _, version := range Versions() {
		text, err := ocsf.Catalogs.ReadFile("catalog/" + version + ".json")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(version, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readCatalog(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
