// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/collector/authz"
)

// A docket up has a door of Flight SQL for who has the token, and ends while
// somebody has yet to read an answer.
func TestFlightDoor(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "docket.toml")
	var text strings.Builder
	for _, table := range []string{"nats", "api", "flight", "ops"} {
		text.WriteString("[" + table + "]\nlisten = \"127.0.0.1:0\"\n")
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	d, err := start(t.Context(), upOptions{config: config, data: filepath.Join(dir, "d"), log: slog.New(slog.DiscardHandler), stdout: &out, stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	address, ok := strings.CutPrefix(d.run.Addresses["flight"], "grpc://127.0.0.1:")
	if !ok {
		t.Errorf("addresses are %v", d.run.Addresses)
	}
	client, err := flightsql.NewClient("127.0.0.1:"+address, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	token, err := d.dir.Token()
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	info, err := client.Execute(ctx, "SELECT count(*) FROM events, range(100000000000)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Execute(t.Context(), "SELECT 1"); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "docket token") {
		t.Errorf("without a token: %v", err)
	}
	endless, err := client.Execute(ctx, "FROM range(100000000000)")
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.DoGet(ctx, endless.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if len(info.Schema) == 0 || !r.Next() {
		t.Errorf("no schema, or no rows: %v", r.Err())
	}
	if err := d.stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestAuthorizeFlight(t *testing.T) {
	knows := func(secret string) *authz.Verifier {
		v, err := authz.New(authz.Config{Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, test := range []struct {
		sent []string
		open bool
		by   string // "" is nobody
	}{
		{[]string{"Bearer secret"}, false, authz.BySecret},
		{[]string{"Bearer secret"}, true, authz.BySecret},
		{nil, true, authz.ByLoopback},
		{nil, false, ""},
		{[]string{"Bearer wrong"}, true, ""},
		{[]string{"Bearer "}, false, ""},
		{[]string{"secret"}, false, ""},
		{[]string{"Bearer secret", "Bearer secret"}, false, ""},
	} {
		g, err := authorizeFlight(knows("secret"), test.open)(t.Context(), metadata.MD{"authorization": test.sent})
		switch {
		case test.by == "" && err == nil, test.by != "" && (err != nil || g.By != test.by || g.May(authz.SQL) != nil):
			t.Errorf("%q, open %v: %+v, %v", test.sent, test.open, g, err)
		case test.by == authz.ByLoopback && g.May(authz.Admin) == nil:
			t.Error("whoever has no token may do everything")
		}
	}
	if g, err := authorizeFlight(knows(""), false)(t.Context(), metadata.MD{"authorization": {"Bearer "}}); err == nil {
		t.Errorf("an empty token is good: %+v", g)
	}
}
