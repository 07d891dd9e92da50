// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/verify"
	"github.com/docket-audit/docket/internal/profile"
)

// patience bounds each look at something that may not answer.
const patience = 3 * time.Second

// gatewayCommand is what run.json calls a docket-gateway.
const gatewayCommand = "docket-gateway"

// isGateway says whether dir is that of a docket-gateway, which keeps a WAL and
// no store.
func isGateway(dir string) bool {
	if run, err := datadir.Owner(dir); err == nil {
		return run.Command == gatewayCommand
	}
	_, wal := os.Stat(filepath.Join(dir, "wal"))
	_, lake := os.Stat(filepath.Join(dir, "lake"))
	if at, err := datadir.Elsewhere(dir); err != nil || at != "" {
		return false // a gateway stores nothing, here or elsewhere
	}
	// A docket that failed to start has a WAL and no store, too, and a ledger's key.
	_, ledger := os.Stat(filepath.Join(dir, "keys", "ledger.vkey"))
	return wal == nil && errors.Is(lake, os.ErrNotExist) && errors.Is(ledger, os.ErrNotExist)
}

// gateway looks at the directory of a docket-gateway. What became of its events
// is known where they are collected.
func (d *diagnosis) gateway(ctx context.Context, dir string) {
	run, err := datadir.Owner(dir)
	switch {
	case errors.Is(err, datadir.ErrNotOwned):
		d.say(stateOK, "owner", "", "none; the directory is of a docket-gateway")
		if datadir.Crashed(dir) {
			d.say(stateWarning, "owner", "the next start sends what is still in the WAL", "the last one did not stop cleanly")
		}
		d.wal(dir)
	case err != nil:
		d.sayError(stateProblem, "owner", err)
	default:
		if state := d.owner(ctx, &run); state != nil {
			d.interceptors(state.Interceptors)
		}
		d.metered(ctx, &run)
		d.broker(ctx, run.Addresses["nats"])
	}
	key := filepath.Join("keys", "emitter.vkey")
	if _, err := os.Stat(filepath.Join(dir, key)); err == nil {
		d.say(stateOK, "keys", "copy it to keys/emitters/NAME.vkey where the events are collected: docket verify checks signatures with it", "%s", key)
	}
	d.say(stateOK, "store", "docket doctor and docket verify judge it there", "none here: the events are sent on")
}

// wal says what lies in a WAL that nobody has open.
func (d *diagnosis) wal(dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	var size int64
	for _, f := range files {
		var info os.FileInfo
		if info, err = os.Stat(f); err != nil {
			break
		}
		size += info.Size()
	}
	if err != nil {
		d.sayError(stateProblem, "emitter", err)
		return
	}
	d.say(stateOK, "emitter", "", "%d bytes of WAL in %d files; the next start sends what the stream does not have", size, len(files))
}

// metered says what the metrics of a docket-gateway say of its emitter.
func (d *diagnosis) metered(ctx context.Context, run *datadir.Run) {
	m, err := metricsOf(ctx, run.Addresses["ops"]+"/metrics")
	if err != nil {
		d.sayError(stateProblem, "emitter", err)
		return
	}
	count := func(name string) int64 { return int64(m["docket_emitter_"+name]) }
	offered, sequenced, refused, declared := count("offered_total"), count("sequenced_total"), count("refused_total"), count("declared_total")
	state := stateOK
	if refused > declared {
		state = stateWarning
	}
	d.say(state, "emitter", "", "%s: %d events offered, %d sequenced, %d refused of which %d are stated in gap findings; %d bytes of WAL, %d not yet on the stream",
		run.Emitter, offered, sequenced, refused, declared, count("wal_bytes"), count("wal_behind_bytes"))
	if n := count("troubles"); n > 0 {
		d.say(stateProblem, "emitter", "the log of docket-gateway names each", "troubles: %d", n)
	}
}

// metricsOf reads the metrics without labels that a page in Prometheus' form
// holds.
func metricsOf(ctx context.Context, url string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics of %s: %s", url, resp.Status)
	}
	m := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 16<<20))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			m[name] = v
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return m, nil
}

// broker says whether somebody listens where NATS is to be. Whoever has the
// credentials knows more.
func (d *diagnosis) broker(ctx context.Context, urls string) {
	var failed error
	for _, one := range strings.Split(urls, ",") {
		u, err := neturl.Parse(strings.TrimSpace(one))
		if err != nil {
			failed = err
			continue
		}
		port := u.Port()
		if port == "" {
			port = "4222"
		}
		dialer := net.Dialer{Timeout: patience}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
		if err == nil {
			conn.Close()
			d.say(stateOK, "broker", "", "%s is reachable", u.Redacted())
			return
		}
		failed = err
	}
	d.say(stateProblem, "broker", "events wait in the WAL until it is", "NATS is not reachable: %v", failed)
}

// maxLifecycle is how many lifecycle events are looked at for keys: heads are
// stated every minute or so, and what runs now is among the newest.
const maxLifecycle = 1000

// emitterKeys warns where an emitter signs with two keys.
func (d *diagnosis) emitterKeys(ctx context.Context, client *reading.Client) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	keys := map[string]map[string]bool{}
	for raw, err := range client.Tail(ctx, maxLifecycle, false, `kind == "lifecycle"`) {
		if err != nil {
			d.sayError(stateWarning, "keys", err)
			return
		}
		var e struct {
			Unmapped struct {
				Docket struct {
					Head struct {
						Key string `json:"key"`
					} `json:"head"`
				} `json:"docket"`
			} `json:"unmapped"`
		}
		header, err := profile.Parse(raw)
		if err != nil || json.Unmarshal(raw, &e) != nil || e.Unmapped.Docket.Head.Key == "" {
			continue // verify judges events
		}
		if keys[header.Emitter] == nil {
			keys[header.Emitter] = map[string]bool{}
		}
		keys[header.Emitter][e.Unmapped.Docket.Head.Key] = true
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if len(keys[name]) > 1 {
			d.say(stateWarning, "keys", "give each emitter a name of its own: [emitter] name", "%s", verify.TwoKeys(name, slices.Sorted(maps.Keys(keys[name]))))
		}
	}
}
