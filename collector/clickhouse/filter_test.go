// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
)

// Values that people have and values that break translations.
var (
	textPool = []string{
		"", "a", "acme", "Acme", "globex", "deny", "é", "e\u0301", "日本", "😀", "a\x00b", "\x00", "'", `"`, `\`, "%", "_", "a%b", "a\nb", "\n",
		" ", "-", "acme/x", "x.acme", "ſ", "K", "\u2028", "ÿ", "zz", "1", "-5", "a.b*c", "[",
	}
	intPool = []int64{0, 1, -1, 2, 3, 7, -7, 10, 6003, math.MaxInt32, math.MinInt32, 1 << 53, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1}
)

// whole, texts and truths are expressions with every operator of which
// docs/filters.md says that it has an equal.
var (
	wholes = []string{
		"time", "type_uid", "duration_ms", "class_uid", "activity_id", "1", "(-9223372036854775808)", "-type_uid", "time + type_uid", "time - type_uid", "time * type_uid",
		"time / type_uid", "time % type_uid", "type_uid / duration_ms", "type_uid % duration_ms", "class_uid * activity_id * status_id", "size(tenant)", "(ran ? time : type_uid)", "1 / type_uid",
	}
	words  = []string{"tenant", "method", "message", "principal", `"acme"`, `""`, "tenant + method", "string(time)", "string(ran)", "(ran ? tenant : method)", "string(1 / type_uid)"}
	truths = []string{
		"ran", "true", "false", `tenant in ["acme", "", "deny"]`, "tenant in []", "time in [1, 2, -1]", "class_uid in [6003, 7]", "(1 / type_uid) in [0, 1]", "ran in [true]",
		"tenant.startsWith(method)", "tenant.endsWith(method)", "tenant.contains(method)", `tenant.startsWith("a")`, `tenant.contains("\u0000")`,
		`tenant.matches("^a.*e$")`, `matches(message, "\\d")`, `message.matches("")`, `message.matches("a.b")`, `message.matches("(?s)a.b")`, `message.matches("(?i)ACME")`, `message.matches("^$")`,
		`message.matches("(?m)^b")`, `message.matches("\\p{Han}")`, `message.matches("\\x00")`, `message.matches("b$")`, "1 / type_uid > 0", "1 / 0 > 0",
	}
	orders = []string{" == ", " != ", " < ", " <= ", " > ", " >= "}
)

// A filter says in ClickHouse what it says in CEL, of each row; and where it fails in
// CEL, it is NULL.
func TestFilters(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rnd := rand.New(rand.NewPCG(3, 4))
	headers := make(map[string]*profile.Header)
	var b store.Batch
	for n := range 240 {
		text := func() string { return textPool[rnd.IntN(len(textPool))] }
		whole := func() int64 { return intPool[rnd.IntN(len(intPool))] }
		sum := sha256.Sum256([]byte(strconv.Itoa(n)))
		h := profile.Header{
			MetadataUID: "e" + strconv.Itoa(n), Epoch: "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e", Emitter: "gw", Sequence: int64(n + 1), Fingerprint: hex.EncodeToString(sum[:]),
			Tenant: text(), Kind: text(), Method: text(), Service: text(), Principal: text(), Message: text(), StatusDetail: text(),
			Time: max(min(whole(), profile.MaxInteger), -profile.MaxInteger), TypeUID: whole(), DurationMS: whole(),
			ClassUID: int32(whole()), ActivityID: int32(whole()), SeverityID: int32(whole()), StatusID: int32(whole()), Ran: rnd.IntN(2) == 0,
		}
		if n == 0 {
			h.TypeUID, h.DurationMS = math.MinInt64, -1
		}
		headers[h.MetadataUID] = &h
		b.Entries = append(b.Entries, store.Entry{Raw: []byte("{}"), Header: h})
	}
	if _, err := st.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	conn := open(t, dsn)
	defer conn.Close()
	one := func(of []string) string { return of[rnd.IntN(len(of))] }
	compared := func() string {
		if rnd.IntN(2) == 0 {
			return "(" + one(wholes) + one(orders) + one(wholes) + ")"
		}
		return "(" + one(words) + one(orders) + one(words) + ")"
	}
	expressions := append([]string{}, truths...)
	for range 150 {
		expressions = append(expressions, compared())
	}
	for range 150 {
		x, y, z := one(expressions), one(expressions), one(expressions)
		expressions = append(expressions, one([]string{
			"!(" + x + ")", "(" + x + ") && (" + y + ")", "(" + x + ") || (" + y + ")", "((" + x + ") ? (" + y + ") : (" + z + "))", "(" + x + ")" + one(orders) + "(" + y + ")",
		}))
	}
	failed := 0
	for _, x := range expressions {
		failed += compare(t, conn, headers, x)
	}
	if failed == 0 {
		t.Error("CEL failed for none")
	}
}

// compare returns for how many rows CEL has no verdict.
func compare(t *testing.T, conn driver.Conn, headers map[string]*profile.Header, expression string) (failed int) {
	t.Helper()
	f, err := filter.Parse(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	where, err := f.SQL(filter.ClickHouse)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	rows, err := conn.Query(context.Background(), "SELECT metadata_uid, CAST("+where.Text+" AS Nullable(Bool)) FROM events")
	if err != nil {
		t.Errorf("%s\n%.600s: %.600v", expression, where.Text, err)
		return 0
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var uid string
		var got *bool
		if err := rows.Scan(&uid, &got); err != nil {
			t.Fatal(err)
		}
		want, err := f.Matches(headers[uid])
		switch {
		case err != nil:
			if failed++; !where.Partial || got != nil {
				t.Errorf("%s\n%s\nof %+v\nCEL fails, SQL says %v", expression, where.Text, *headers[uid], *got)
				return failed
			}
		case got == nil || *got != want:
			t.Errorf("%s\n%s\nof %+v\nCEL says %v, SQL %v", expression, where.Text, *headers[uid], want, got)
			return failed
		}
	}
	if err := rows.Err(); err != nil || n != len(headers) {
		t.Errorf("%s\n%.600s: %d rows, %.600v", expression, where.Text, n, err)
	}
	return failed
}
