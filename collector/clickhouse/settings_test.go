// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// made makes a store with nothing in it, and returns where.
func made(t *testing.T) (dsn string) {
	t.Helper()
	dsn = chdbtest.Database(t)
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dsn
}

// Nobody writes with settings under which a commit would be cut into blocks, or made
// twice, and nobody reads with those under which they are told a part of what there is.
func TestUnsafeSettings(t *testing.T) {
	dsn := made(t)
	const inserts = "inserts"
	for setting, value := range map[string]string{
		"use_strict_insert_block_limits": inserts, "deduplicate_insert": inserts, "deduplicate_insert_select": inserts,
		"limit": "1", "offset": "1", "additional_result_filter": "1", "use_query_cache": "1", "skip_unavailable_shards": "1", "partial_result_on_first_cancel": "1",
		"read_overflow_mode": "break", "read_overflow_mode_leaf": "break", "result_overflow_mode": "break", "timeout_overflow_mode": "break", "timeout_overflow_mode_leaf": "break",
		"set_overflow_mode": "break", "join_overflow_mode": "break", "distinct_overflow_mode": "break", "group_by_overflow_mode": "any", "sort_overflow_mode": "break", "transfer_overflow_mode": "break",
		"apply_deleted_mask": "0", "apply_patch_parts": "0", "parallel_replicas_count": "2", "parallel_replica_offset": "1",
	} {
		refuses := func(what string, err error) {
			var told *clickhouse.Error
			if !errors.Is(err, clickhouse.ErrSettings) || !strings.Contains(err.Error(), setting) || !errors.As(err, &told) || told.Hint() == "" {
				t.Errorf("%s: %s = %s: %v", what, setting, value, err)
			}
		}
		is := value
		if value == inserts {
			is = map[bool]string{true: "1", false: "disable"}[strings.HasPrefix(setting, "use")]
		}
		st, err := clickhouse.Open(t.Context(), dsn+"?"+setting+"="+is, clickhouse.Options{})
		refuses("writer", err)
		if err == nil {
			_ = st.Close()
		}
		r, err := clickhouse.OpenReader(t.Context(), dsn+"?"+setting+"="+is, clickhouse.Options{})
		if value != inserts {
			refuses("reader", err)
		} else if err != nil {
			t.Errorf("a reader with %s: %v", setting, err)
		}
		if err == nil {
			_ = r.Close()
		}
	}
}

// A user whose profile cuts answers off is refused, and one that may only read and
// whose profile does not reads.
func TestProfiles(t *testing.T) {
	first := chdbtest.Start(t, "")
	st, err := clickhouse.Open(t.Context(), first.DSN(), clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	for i := range 300 {
		b.Entries = append(b.Entries, e.API("outcome", fmt.Sprint("op-", i), ""))
	}
	if _, err := st.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	for _, c := range []struct {
		profile map[string]string
		want    string // of an error
	}{
		{map[string]string{"readonly": "1"}, ""},
		{map[string]string{"readonly": "1", "max_result_rows": "20", "result_overflow_mode": "break"}, "result_overflow_mode = break"},
		{map[string]string{"max_rows_to_read": "20", "read_overflow_mode": "break"}, "read_overflow_mode = break"},
		{map[string]string{"readonly": "1", "max_execution_time": "1", "timeout_overflow_mode": "break"}, "timeout_overflow_mode = break"},
		{map[string]string{"readonly": "1", "max_result_rows": "20"}, "Limit for result exceeded"},
		{map[string]string{"readonly": "1", "apply_deleted_mask": "0"}, "apply_deleted_mask = 0"},
		{map[string]string{
			"enable_parallel_replicas": "1", "parallel_replicas_mode": "sampling_key", "max_parallel_replicas": "2", "parallel_replicas_count": "2", "parallel_replica_offset": "1",
		}, "parallel_replica_offset = 1"},
	} {
		t.Run(fmt.Sprint(c.profile), func(t *testing.T) {
			engine := chdbtest.StartWith(t, first.Dir(), c.profile, nil)
			defer engine.Stop()
			r, err := clickhouse.OpenReader(t.Context(), engine.DSN(), clickhouse.Options{})
			n := 0
			if err == nil {
				defer r.Close()
				n, err = count(t, r)
			}
			switch {
			case c.want == "" && (err != nil || n != 300):
				t.Errorf("%d events: %v", n, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%d events, and the error is %v", n, err)
			}
		})
	}
}

func count(t *testing.T, r store.Reader) (n int, err error) {
	t.Helper()
	for _, err := range r.Scan(t.Context(), store.Query{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// A time that is so short that even the question for the settings is cut off is no
// reason to believe that there are none, or that there is no store.
func TestSettingsCutOff(t *testing.T) {
	dsn := made(t)
	for _, of := range []string{"FROM system.settings", "arrayJoin", ""} {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: u.Host})
		var cut atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			q := r.URL.Query()
			if bytes.Contains(body, []byte(of)) && !q.Has("timeout_overflow_mode") {
				cut.Add(1)
				q.Set("timeout_overflow_mode", "break")
				q.Set("max_execution_time", "0.000001")
			}
			r.URL.RawQuery = q.Encode()
			proxy.ServeHTTP(w, r)
		}))
		u.Host = srv.Listener.Addr().String()
		r, err := clickhouse.OpenReader(t.Context(), u.String(), clickhouse.Options{})
		if !errors.Is(err, clickhouse.ErrSettings) || !strings.Contains(err.Error(), "timeout_overflow_mode") {
			t.Errorf("a reader, with %q cut off: %v", of, err)
		}
		if err == nil {
			_ = r.Close()
		}
		st, err := clickhouse.Open(t.Context(), u.String(), clickhouse.Options{})
		if !errors.Is(err, clickhouse.ErrSettings) {
			t.Errorf("a writer, with %q cut off: %v", of, err)
		}
		if err == nil {
			_ = st.Close()
		}
		srv.Close()
		if cut.Load() == 0 {
			t.Errorf("nothing was cut off of %q", of)
		}
	}
}

// A profile that is changed while a store is open cuts nothing off either.
func TestProfileChanges(t *testing.T) {
	dsn := chdbtest.Database(t)
	var changed atomic.Bool
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: u.Host})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What a profile says is what a request does not.
		q := r.URL.Query()
		for name, value := range map[string]string{"max_result_rows": "20", "result_overflow_mode": "break", "max_block_size": "10"} {
			if changed.Load() && !q.Has(name) {
				q.Set(name, value)
			}
		}
		r.URL.RawQuery = q.Encode()
		proxy.ServeHTTP(w, r)
	}))
	defer srv.Close()
	u.Host = srv.Listener.Addr().String()
	st, err := clickhouse.Open(t.Context(), u.String(), clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var b store.Batch
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	for i := range 300 {
		b.Entries = append(b.Entries, e.API("outcome", fmt.Sprint("op-", i), ""))
	}
	if _, err := st.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r, err := clickhouse.OpenReader(t.Context(), u.String(), clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, reader := range []store.Reader{st, r} {
		changed.Store(false)
		if n, err := count(t, reader); n != 300 || err != nil {
			t.Errorf("before: %d, %v", n, err)
		}
		changed.Store(true)
		if n, err := count(t, reader); err == nil || !strings.Contains(err.Error(), "Limit for result exceeded") {
			t.Errorf("%d of 300 events, and the error is %v", n, err)
		}
	}
}
