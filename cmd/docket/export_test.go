// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/docket-audit/docket/cmd/internal/reading"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// paging is a server that gives pages of one event, for ever, until page says
// otherwise.
type paging struct {
	auditv1.AuditServiceClient

	event []byte
	page  func(n int) error
	n     int
}

func (p *paging) SearchEvents(context.Context, *auditv1.SearchEventsRequest, ...grpc.CallOption) (*auditv1.SearchEventsResponse, error) {
	p.n++
	if err := p.page(p.n); err != nil {
		return nil, err
	}
	return &auditv1.SearchEventsResponse{Events: [][]byte{p.event}, NextPageToken: "more"}, nil
}

// Nothing stays of an export that does not come to its end, and what is there
// meanwhile is not written over.
func TestExportThatEnds(t *testing.T) {
	for _, format := range exportFormats {
		for _, tc := range []struct {
			name, want string
			page       func(file string, cancel func()) error
			left       string // what is in the file afterwards
		}{
			{"interrupted", "interrupted after 3 events", func(_ string, cancel func()) error { cancel(); return nil }, ""},
			{"failed", "gone", func(string, func()) error { return errors.New("gone") }, ""},
			{"somebody else was there first", "gone", func(file string, _ func()) error {
				return errors.Join(os.WriteFile(file, []byte("theirs"), 0o600), errors.New("gone"))
			}, "theirs"},
		} {
			t.Run(format+"/"+tc.name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				dir := t.TempDir()
				file := filepath.Join(dir, "x."+format)
				server := &paging{event: recordedEvents(t)[4], page: func(n int) error {
					if n < 4 {
						return nil
					}
					return tc.page(file, cancel)
				}}
				var stderr bytes.Buffer
				c := &cobra.Command{}
				c.SetContext(ctx)
				c.SetErr(&stderr)
				o := &exportFlags{to: file, format: format}
				err := o.export(c, &reading.Client{Audit: server}, &auditv1.SearchEventsRequest{})
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v, want %q", err, tc.want)
				}
				got, _ := os.ReadFile(file)
				if string(got) != tc.left {
					t.Errorf("the file has %q, want %q", got, tc.left)
				}
				names, err := os.ReadDir(dir)
				if want := min(1, len(tc.left)); err != nil || len(names) != want {
					t.Errorf("%v, %v", names, err)
				}
			})
		}
	}
}

func TestExportIsNotPutOverAnother(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	there := write("there", "theirs")
	o := &exportFlags{to: there}
	if err := o.place(write("new", "ours")); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(there); string(b) != "theirs" {
		t.Errorf("%q", b)
	}
	o.force = true
	if err := o.place(filepath.Join(dir, "new")); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(there); string(b) != "ours" {
		t.Errorf("%q", b)
	}
}
