// SPDX-License-Identifier: Apache-2.0

// Package flight answers SQL over Arrow Flight SQL, the door for programs that
// want many rows: data frames, notebooks, ADBC, JDBC and ODBC drivers.
//
//	door, err := flight.New(flight.Config{Engine: engine, Authorize: authorize})
//	err = door.Serve(listener)   // until door.Shutdown(ctx)
//
// A client asks as everywhere else, one SELECT at a time, over the views that
// [github.com/docket-audit/docket/collector/sql] makes. The answer comes in record
// batches of at most 2 MiB, while it is made: whoever reads slowly slows the query
// down and nothing else, and whoever reads nothing for a minute loses it.
//
// # Who may ask
//
// Every call is authorized by itself, by what the [Config] is given for that, and
// needs the capability sql. What is seen is made of the grant of the very call
// that gets the rows. A ticket is the question, sealed for the caller it was given
// to: somebody else's is refused, also within its hour. The handle of a prepared
// statement belongs to its caller too; there are few of them, and one that is not
// used for ten minutes is forgotten. A stream ends when its grant does.
//
// # What it does not do
//
// There is nothing to write, so that updates, ingestion, transactions, savepoints
// and Substrait plans are refused as not implemented. A prepared statement takes
// one row of parameters at a time.
package flight
