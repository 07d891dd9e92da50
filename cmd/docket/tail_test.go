// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// sending is a server that sends these items, then ends with err.
type sending struct {
	auditv1.AuditServiceClient
	grpc.ClientStream

	items []*auditv1.TailResponse
	err   error
}

func (s *sending) Tail(context.Context, *auditv1.TailRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[auditv1.TailResponse], error) {
	return s, nil
}

func (s *sending) Recv() (*auditv1.TailResponse, error) {
	if len(s.items) == 0 {
		return nil, s.err
	}
	item := s.items[0]
	s.items = s.items[1:]
	return item, nil
}

func recordedEvents(t *testing.T) [][]byte {
	t.Helper()
	b, err := os.ReadFile("../../internal/profile/testdata/recorded.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// What was not sent is said where it is missing, and by the exit code; the token
// is that of the last item, also when the server ends it.
func TestTailMissed(t *testing.T) {
	events := recordedEvents(t)
	event := func(i int, token string) *auditv1.TailResponse {
		return &auditv1.TailResponse{Item: &auditv1.TailResponse_Event{Event: events[i]}, ResumeToken: token}
	}
	items := []*auditv1.TailResponse{
		event(4, "t1"),
		{Item: &auditv1.TailResponse_CaughtUp{CaughtUp: &auditv1.CaughtUp{}}, ResumeToken: "t2"},
		{Item: &auditv1.TailResponse_Missed{Missed: &auditv1.Missed{Events: 1200, ResumeToken: "back", Reason: "too slow\x1b[2J"}}, ResumeToken: "t3"},
		event(5, "t4"),
	}
	for _, tc := range []struct {
		name, format   string
		end            error
		code           int
		stdout, stderr string
	}{
		{
			"among sentences", "short", io.EOF, cli.ExitPartial,
			"TIME alice was denied CreateSandbox by images/allow-list: image \"x\" is not on the list\n" +
				"--- 1,200 events not sent: too slow\\x1b[2J; --resume back begins with the first ---\nTIME stopped\n",
			"docket: the server has stopped, after 2 events\nresume with --resume t4\n",
		},
		{
			"beside data", "ndjson", io.EOF, cli.ExitPartial,
			string(events[4]) + "\n" + string(events[5]) + "\n",
			"--- 1,200 events not sent: too slow\\x1b[2J; --resume back begins with the first ---\ndocket: the server has stopped, after 2 events\nresume with --resume t4\n",
		},
		{
			"the server ends it", "ndjson", errors.New("gone"), cli.ExitFailure,
			string(events[4]) + "\n" + string(events[5]) + "\n",
			"--- 1,200 events not sent: too slow\\x1b[2J; --resume back begins with the first ---\nresume with --resume t4\ndocket: gone\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			c := &cobra.Command{Use: "docket", RunE: func(c *cobra.Command, _ []string) error {
				o := &tailFlags{format: tc.format, follow: true}
				return o.tail(c, &reading.Client{Audit: &sending{items: items, err: tc.end}, Live: true}, &auditv1.TailRequest{})
			}}
			if code := cli.Run(c, []string{}, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if diff := cmp.Diff(tc.stdout, withoutTimes(stdout.String())); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.stderr, stderr.String()); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

// withoutTimes replaces the local time that short lines begin with, and its date:
// the events are not of today.
func withoutTimes(out string) string {
	return regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d `).ReplaceAllString(out, "TIME ")
}
