// SPDX-License-Identifier: Apache-2.0

// Package columnar writes what the command line prints as Parquet, for programs
// that read columns: zstd, one file, readable by DuckDB, pandas and Spark.
//
//	w, err := columnar.Events(out)  // the columns of a header, and _raw
//	w, err := columnar.Objects(out) // the columns that the rows turn out to have
//
// It is apart from package cli, which docket-gateway has too: Arrow is large.
package columnar
