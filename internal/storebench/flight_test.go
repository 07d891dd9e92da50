// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package storebench

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/sql"
)

const answerName = "docket-sql-answer"

// TestMain also makes this program the one that answers for [sql.Processes].
func TestMain(m *testing.M) {
	if os.Args[0] == answerName {
		if err := sql.Answer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// BenchmarkFlight gets many rows by Flight SQL, client and server in this process
// and the query in its own, beside the engine in this process whose batches nobody
// takes, and the process without the network.
func BenchmarkFlight(b *testing.B) {
	scope, first, last := scopeOf(b, bigLake(b))
	until := first + int64(float64(last-first)*min(1, 500_000/float64(*events)))
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	processes := sql.NewProcesses(exe, []string{answerName}, sql.Limits{})
	client := door(b, flight.SQL(processes, func(flight.Question) (sql.Scope, func(), error) { return scope, func() {}, nil }))
	schema := func(*arrow.Schema) error { return nil }
	for _, q := range []struct{ name, columns string }{
		{"five", "time, tenant, principal, method, decision"}, {"header", "* EXCLUDE (_raw)"}, {"whole", "*"},
	} {
		text := fmt.Sprintf("SELECT %s FROM events WHERE time <= %d", q.columns, until)
		for _, how := range []struct {
			name string
			run  func(batch func(arrow.Record) error) error
		}{
			{"engine", func(batch func(arrow.Record) error) error {
				scope.Asked = text
				db, err := sql.Open(b.Context(), scope)
				if err != nil {
					return err
				}
				defer db.Close()
				return db.Arrow(b.Context(), sql.Statement{Text: text}, schema, batch)
			}},
			{"process", func(batch func(arrow.Record) error) error {
				return processes.Arrow(b.Context(), scope, sql.Statement{Text: text}, schema, batch)
			}},
			{"flight", func(batch func(arrow.Record) error) error {
				info, err := client.Execute(b.Context(), text)
				if err != nil {
					return err
				}
				r, err := client.DoGet(b.Context(), info.Endpoint[0].Ticket)
				if err != nil {
					return err
				}
				defer r.Release()
				for r.Next() {
					if err := batch(r.Record()); err != nil {
						return err
					}
				}
				return r.Err()
			}},
		} {
			b.Run(q.name+"/"+how.name, func(b *testing.B) {
				var rows, bytes int64
				for b.Loop() {
					err := how.run(func(r arrow.Record) error {
						rows += r.NumRows()
						for _, c := range r.Columns() {
							bytes += int64(c.Data().SizeInBytes())
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(bytes)/b.Elapsed().Seconds()/1e6, "MB/s")
			})
		}
	}
}

// door opens a door on loopback and returns a client of it.
func door(b *testing.B, engine flight.Engine) *flightsql.Client {
	b.Helper()
	d, err := flight.New(flight.Config{Engine: engine, Authorize: func(context.Context, metadata.MD) (*authz.Grant, error) {
		return authz.Trusted("bench", authz.BySecret), nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- d.Serve(l) }()
	client, err := flightsql.NewClient(l.Addr().String(), nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		client.Close()
		if err := d.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return client
}
