// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/docket-audit/docket/internal/checker"
	"github.com/docket-audit/docket/internal/natstest"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// What `docket verify` says of an epoch is taken literally and held against the
// journal of the clients: of each operation that they were answered, with the
// time, on disk before they go on.

// A scene is a gateway, a collector elsewhere, and clients.
type scene struct {
	t          *testing.T
	mine, lake string // data directories of the gateway and of the collector
	conf       string
	collecting *process
	gateway    *process
	journal    string
}

func newScene(t *testing.T, mode string) *scene {
	t.Helper()
	broker := natstest.Run(t)
	s := &scene{t: t, mine: filepath.Join(t.TempDir(), "gateway"), lake: t.TempDir(), journal: filepath.Join(t.TempDir(), "journal")}
	s.conf = filepath.Join(t.TempDir(), "docket.toml")
	write(t, s.conf, fmt.Sprintf(`
[gateway]
listen = "127.0.0.1:0"
upstream = "http://%s"
unmatched = "deny"
[audit]
mode = %q
[nats]
url = %q
[emitter]
name = "gateway-0"
head_every = 20
`, serveSandboxes(t).addr, mode, broker.URL()))
	s.conf = withInterceptor(t, s.conf)
	s.collecting = start(t, docketBin, "up", "--config", collectorConfig(t, broker.URL()), "--data", s.lake)
	s.collecting.addresses(s.lake)
	return s
}

// begin starts the gateway and lets clients call for a while.
func (s *scene) begin(during time.Duration) (end func()) {
	s.t.Helper()
	_ = os.Remove(filepath.Join(s.mine, "run.json")) // of one that was killed
	s.gateway = start(s.t, gatewayBin, "--config", s.conf, "--data", s.mine)
	proxy := s.gateway.addresses(s.mine)["proxy"]
	// The collector checks what this emitter signs.
	key, err := os.ReadFile(filepath.Join(s.mine, "keys", "emitter.vkey"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.lake, "keys", "emitters"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	write(s.t, filepath.Join(s.lake, "keys", "emitters", "gateway-0.vkey"), string(key))
	return s.clients(proxy, during)
}

// clients returns once they have called for a while; they go on until the function
// is called that it returns.
func (s *scene) clients(proxy string, during time.Duration) (end func()) {
	s.t.Helper()
	conn, err := grpc.NewClient(hostPort(proxy), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	journal, err := checker.OpenJournal(s.journal)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				var trailer metadata.MD
				_, _ = sandboxv1.NewSandboxesClient(conn).CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: fmt.Sprint("web-", i)}}, grpc.Trailer(&trailer))
				if uid := trailer.Get("docket-operation-uid"); len(uid) == 1 { // it was answered
					if err := journal.Add(checker.Line{Payload: uid[0], Time: time.Now().UnixMilli()}); err != nil {
						s.t.Error(err)
					}
				}
			}
		})
	}
	time.Sleep(during)
	return func() {
		cancel()
		clients.Wait()
		_ = conn.Close()
		_ = journal.Close()
	}
}

// An ended is what verify says of one epoch, and what the store has of it.
type ended struct {
	Epoch            string `json:"epoch"`
	Tenant           string `json:"tenant"`
	Emitter          string `json:"emitter"`
	Last             int64  `json:"last"`
	Stored           int64  `json:"stored"`
	End              string `json:"end"`
	UnknownMS        int64  `json:"unknown_ms"`
	SignedTo         int64  `json:"signed_to"`
	SignatureChecked bool   `json:"signature_checked"`
}

// verified stops the collector once it has stored the last event of each epoch of
// the gateway, and returns what verify says of those with operations, in order.
func (s *scene) verified(epochs int) []ended {
	s.t.Helper()
	type row struct {
		N int `json:"n"`
	}
	s.collecting.eventually("stop events", seconds(60), func() bool {
		rows := query[row](s.t, s.lake, `SELECT count(*) AS n FROM events WHERE tenant = 'default' AND kind = 'lifecycle' AND _raw LIKE '%"lifecycle":"stop"%' AND _raw LIKE '%"name":"gateway-0"%'`)
		return rows[0].N == 1
	})
	if code := s.collecting.stop(); code != 0 {
		s.t.Fatalf("docket up: exit %d", code)
	}
	var report struct {
		Epochs []ended `json:"epochs"`
	}
	if err := json.Unmarshal([]byte(mustDocket(s.t, "verify", "--deep", "--data", s.lake, "-o", "json")), &report); err != nil {
		s.t.Fatal(err)
	}
	first := map[string]int64{} // time of each epoch's start
	for _, r := range query[struct {
		Epoch string `json:"epoch"`
		Time  int64  `json:"time"`
	}](s.t, s.lake, `SELECT epoch, CAST(json_extract(_raw, '$.time') AS BIGINT) AS time FROM events WHERE sequence = 1`) {
		first[r.Epoch] = r.Time
	}
	var list []ended
	text := mustDocket(s.t, "verify", "--deep", "--data", s.lake)
	for _, e := range report.Epochs {
		if e.Tenant != "default" || e.Emitter != "gateway-0" {
			continue
		}
		n := query[struct {
			N, Max, Distinct int64
		}](s.t, s.lake, `SELECT count(*) AS N, max(sequence) AS "Max", count(DISTINCT sequence) AS "Distinct" FROM events WHERE epoch = '`+e.Epoch+`'`)[0]
		if n.N != e.Stored || n.Max != e.Last || n.Distinct != n.N || e.Stored != e.Last {
			s.t.Errorf("verify says %+v, the store has %+v", e, n)
		}
		if line := fmt.Sprintf("%d of %d", e.Stored, e.Last); !strings.Contains(text, line) {
			s.t.Errorf("the text does not say %q:\n%s", line, text)
		}
		list = append(list, e)
	}
	if len(list) != epochs {
		s.t.Fatalf("%d epochs, want %d: %+v", len(list), epochs, list)
	}
	for i := range list { // by time
		for j := range i {
			if first[list[i].Epoch] < first[list[j].Epoch] {
				list[i], list[j] = list[j], list[i]
			}
		}
	}
	return list
}

// lost returns the lines of operations without an outcome in the store.
func (s *scene) lost() (lost []checker.Line, answered int) {
	s.t.Helper()
	lines, err := checker.ReadJournal(s.journal)
	if err != nil || len(lines) < 50 {
		s.t.Fatalf("%d lines, %v", len(lines), err)
	}
	outcomes := map[string]bool{}
	for _, o := range query[outcome](s.t, s.lake, `SELECT operation_uid, status_code, ran FROM events WHERE kind = 'outcome'`) {
		outcomes[o.OperationUID] = true
	}
	for _, l := range lines {
		if !outcomes[l.Payload] {
			lost = append(lost, l)
		}
	}
	return lost, len(lines)
}

// timeOf returns the time that an event states, in ms.
func (s *scene) timeOf(epoch string, sequence int64) int64 {
	s.t.Helper()
	return query[struct {
		Time int64 `json:"time"`
	}](s.t, s.lake, fmt.Sprintf(`SELECT CAST(json_extract(_raw, '$.time') AS BIGINT) AS time FROM events WHERE epoch = '%s' AND sequence = %d`, epoch, sequence))[0].Time
}

// "N of N, closed": there is nothing beside the N, and every operation that was
// answered is among them.
func TestVerifyOfClosed(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"durable", "best_effort"} {
		t.Run(mode, func(t *testing.T) {
			s := newScene(t, mode)
			end := s.begin(seconds(2))
			end()
			if code := s.gateway.stop(); code != 0 {
				t.Fatalf("docket-gateway: exit %d", code)
			}
			e := s.verified(1)[0]
			lost, answered := s.lost()
			if e.End != "closed" || len(lost) > 0 || e.SignedTo != e.Last-1 || !e.SignatureChecked {
				t.Errorf("verify says %+v; %d of %d operations have no outcome", e, len(lost), answered)
			}
			t.Logf("%d of %d, closed; %d answered", e.Stored, e.Last, answered)
		})
	}
}

// "N of N to the crash; at most W ms of best_effort unknown": of durable ones
// none is lost, and what is lost of best_effort was answered within the last W ms
// before the next start.
func TestVerifyOfCrash(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"durable", "best_effort"} {
		t.Run(mode, func(t *testing.T) {
			const crashes = 4
			s := newScene(t, mode)
			for range crashes {
				end := s.begin(500 * time.Millisecond)
				s.gateway.kill()
				end()
			}
			s.begin(seconds(1))()
			if code := s.gateway.stop(); code != 0 {
				t.Fatalf("docket-gateway: exit %d", code)
			}
			epochs := s.verified(crashes + 1)
			lost, answered := s.lost()
			if mode == "durable" && len(lost) > 0 {
				t.Errorf("%d of %d operations have no outcome", len(lost), answered)
			}
			for i, e := range epochs {
				if i == crashes {
					if e.End != "closed" {
						t.Errorf("verify says %+v", e)
					}
					break
				}
				if e.End != "crash" {
					t.Errorf("verify says %+v", e)
				}
				until := s.timeOf(epochs[i+1].Epoch, 1)
				n := len(lost)
				lost = slices.DeleteFunc(lost, func(l checker.Line) bool { return l.Time >= until-e.UnknownMS && l.Time <= until })
				t.Logf("%d of %d to the crash; at most %d ms of best_effort unknown: %d answered in that time are lost", e.Stored, e.Last, e.UnknownMS, n-len(lost))
			}
			if len(lost) > 0 {
				t.Errorf("of %d answered, these are lost, and verify says that they cannot be: %+v", answered, lost)
			}
		})
	}
}

// "N of N to the signed head; end unknown": the disk of the gateway is gone with
// it. Up to the head nothing is missing that was answered before it was signed.
func TestVerifyOfLostDisk(t *testing.T) {
	t.Parallel()
	s := newScene(t, "durable")
	end := s.begin(seconds(2))
	s.gateway.kill()
	end()
	if err := os.RemoveAll(s.mine); err != nil {
		t.Fatal(err)
	}
	// The key is gone, too: the one that signed stays known by a copy.
	old, err := os.ReadFile(filepath.Join(s.lake, "keys", "emitters", "gateway-0.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.lake, "keys", "emitters", "gateway-0-before.vkey"), string(old))
	end = s.begin(seconds(1))
	end()
	if code := s.gateway.stop(); code != 0 {
		t.Fatalf("docket-gateway: exit %d", code)
	}
	epochs := s.verified(2)
	gone := epochs[0]
	if gone.End != "head" || !gone.SignatureChecked || gone.SignedTo == 0 || gone.SignedTo > gone.Last {
		t.Fatalf("verify says %+v", gone)
	}
	if text := mustDocket(t, "verify", "--data", s.lake); !strings.Contains(text, fmt.Sprintf("%d of %d to the signed head; end unknown", gone.Stored, gone.Last)) {
		t.Errorf("the text is\n%s", text)
	}
	head := s.timeOf(gone.Epoch, gone.SignedTo+1)
	lost, answered := s.lost()
	for _, l := range lost {
		if l.Time < head {
			t.Errorf("operation %s was answered at %d, before the head of %d was signed, and is lost", l.Payload, l.Time, head)
		}
	}
	t.Logf("%d of %d, head at %d: %d of %d answered are lost", gone.Stored, gone.Last, gone.SignedTo, len(lost), answered)
}
