// SPDX-License-Identifier: Apache-2.0

// Command flightsql asks docket for what was denied, over Arrow Flight SQL:
//
//	go run ./examples/flightsql 127.0.0.1:8081 "$(cat docket-data/keys/api.token)"
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

const denied = "SELECT principal, method, count(*) AS n FROM operations WHERE decision = 'deny' GROUP BY ALL ORDER BY ALL"

// ask writes the batches of an answer as they come.
func ask(ctx context.Context, address, token, query string, out io.Writer) error {
	client, err := flightsql.NewClient(address, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	info, err := client.Execute(ctx, query)
	if err != nil {
		return err
	}
	for _, endpoint := range info.Endpoint {
		r, err := client.DoGet(ctx, endpoint.Ticket)
		if err != nil {
			return err
		}
		defer r.Release()
		for r.Next() {
			fmt.Fprintln(out, r.Record())
		}
		if err := r.Err(); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: flightsql HOST:PORT TOKEN")
	}
	if err := ask(context.Background(), os.Args[1], os.Args[2], denied, os.Stdout); err != nil {
		log.Fatal(err)
	}
}
