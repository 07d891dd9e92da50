// SPDX-License-Identifier: Apache-2.0

// Package filtertest has rows and expressions by which an engine's translation of
// filters is held against CEL's own evaluation.
package filtertest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// Values that people have and values that break translations.
var (
	textPool = []string{
		"", "a", "acme", "Acme", "globex", "deny", "é", "e\u0301", "日本", "😀", "a\x00b", "\x00", "'", `"`, `\`, "%", "_", "a%b", "a\nb", "\n",
		" ", "-", "acme/x", "x.acme", "ſ", "K", "\u2028", "ÿ", "zz", "1", "-5", "a.b*c", "[", "images/allow-list",
	}
	intPool     = []int64{0, 1, -1, 2, 3, 7, -7, 10, 6003, 2004, math.MaxInt32, math.MinInt32, 1 << 53, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1}
	regexPool   = []string{"", "a", "^a", "b$", "^$", ".", "a.b", "^.*$", "(?s)a.b", "(?i)ACME", `\d+`, `\x00`, "é", "^(acme|globex)$", "[^a]", `a{2,3}|z+`, `\bacme\b`, `(?m)^b`, `[[:upper:]]`, `\p{Han}`, `^a*?`, `\.`, `(a|b)+c?`}
	textColumns = []string{"tenant", "kind", "method", "service", "principal", "message", "status_detail"}
	intColumns  = []string{"time", "class_uid", "activity_id", "severity_id", "type_uid", "duration_ms", "status_id"}
)

// Rows are a few hundred rows of such values, for a store, and their headers by uid.
func Rows() ([]store.Entry, map[string]*profile.Header) {
	headers := map[string]*profile.Header{}
	var entries []store.Entry
	n := 0
	pick := func(step int) int { return n*(2*step+1) + n/7*step } // spreads, the same at each run
	for n = range 240 {
		text := func(step int) string { return textPool[pick(step)%len(textPool)] }
		whole := func(step int) int64 { return intPool[pick(step)%len(intPool)] }
		sum := sha256.Sum256([]byte(strconv.Itoa(n)))
		h := profile.Header{
			MetadataUID: "e" + strconv.Itoa(n), Epoch: "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e", Emitter: "gw", Sequence: int64(n + 1), Fingerprint: hex.EncodeToString(sum[:]),
			Tenant: text(0), Kind: text(1), Method: text(2), Service: text(3), Principal: text(4), Message: text(5), StatusDetail: text(6),
			Time: max(min(whole(0), profile.MaxInteger), -profile.MaxInteger), TypeUID: whole(1), DurationMS: whole(2),
			ClassUID: int32(whole(3)), ActivityID: int32(whole(4)), SeverityID: int32(whole(5)), StatusID: int32(whole(6)), Ran: n%3 == 0,
		}
		if n == 0 { // of which the quotient is none
			h.TypeUID, h.DurationMS = math.MinInt64, -1
		}
		headers[h.MetadataUID] = &h
		entries = append(entries, store.Entry{Raw: []byte("{}"), Header: h, StreamSeq: uint64(n + 1)})
	}
	return entries, headers
}

// Condition draws a condition over columns.
func Condition(t *rapid.T, depth int) string { return (&expressions{t}).condition(depth) }

// An expressions makes CEL of what SQL knows too.
type expressions struct{ t *rapid.T }

func (x *expressions) of(list ...string) string { return rapid.SampledFrom(list).Draw(x.t, "of") }

func (x *expressions) text(depth int) string {
	forms := []string{"column", "literal"}
	if depth > 0 {
		forms = append(forms, "column", "concat", "text ?:", "string(int)", "string(bool)")
	}
	switch x.of(forms...) {
	case "literal":
		return celText(rapid.SampledFrom(textPool).Draw(x.t, "text"))
	case "concat":
		return "(" + x.text(depth-1) + " + " + x.text(depth-1) + ")"
	case "text ?:":
		return "(" + x.condition(depth-1) + " ? " + x.text(depth-1) + " : " + x.text(depth-1) + ")"
	case "string(int)":
		return "string(" + x.whole(depth-1) + ")"
	case "string(bool)":
		return "string(" + x.condition(depth-1) + ")"
	}
	return rapid.SampledFrom(textColumns).Draw(x.t, "column")
}

func (x *expressions) whole(depth int) string {
	forms := []string{"column", "literal"}
	if depth > 0 {
		forms = append(forms, "column", "+", "-", "*", "/", "%", "negate", "size", "int ?:")
	}
	switch form := x.of(forms...); form {
	case "literal":
		return "(" + strconv.FormatInt(rapid.SampledFrom(intPool).Draw(x.t, "int"), 10) + ")"
	case "+", "-", "*", "/", "%":
		return "(" + x.whole(depth-1) + " " + form + " " + x.whole(depth-1) + ")"
	case "negate":
		return "-(" + x.whole(depth-1) + ")"
	case "size":
		return "size(" + x.text(depth-1) + ")"
	case "int ?:":
		return "(" + x.condition(depth-1) + " ? " + x.whole(depth-1) + " : " + x.whole(depth-1) + ")"
	}
	return rapid.SampledFrom(intColumns).Draw(x.t, "column")
}

func (x *expressions) condition(depth int) string {
	forms := []string{"ran", "constant", "text ==", "text order", "int ==", "int order", "text in", "int in", "startsWith", "endsWith", "contains", "matches"}
	if depth > 0 {
		forms = append(forms, "&&", "||", "!", "&&", "||", "bool ==", "bool ?:", "bool order")
	}
	orders := []string{"<", "<=", ">", ">="}
	switch form := x.of(forms...); form {
	case "constant":
		return x.of("true", "false")
	case "text ==":
		return "(" + x.text(depth-1) + x.of(" == ", " != ") + x.text(depth-1) + ")"
	case "int ==":
		return "(" + x.whole(depth-1) + x.of(" == ", " != ") + x.whole(depth-1) + ")"
	case "bool ==":
		return "(" + x.condition(depth-1) + x.of(" == ", " != ") + x.condition(depth-1) + ")"
	case "text order":
		return "(" + x.text(depth-1) + x.of(orders...) + x.text(depth-1) + ")"
	case "int order":
		return "(" + x.whole(depth-1) + x.of(orders...) + x.whole(depth-1) + ")"
	case "bool order":
		return "(" + x.condition(depth-1) + x.of(orders...) + x.condition(depth-1) + ")"
	case "text in":
		return "(" + x.text(depth-1) + " in [" + x.list(func() string { return celText(rapid.SampledFrom(textPool).Draw(x.t, "text")) }) + "])"
	case "int in":
		return "(" + x.whole(depth-1) + " in [" + x.list(func() string { return strconv.FormatInt(rapid.SampledFrom(intPool).Draw(x.t, "int"), 10) }) + "])"
	case "startsWith", "endsWith", "contains":
		return x.text(depth-1) + "." + form + "(" + x.text(depth-1) + ")"
	case "matches":
		return x.text(depth-1) + ".matches(" + celText(rapid.SampledFrom(regexPool).Draw(x.t, "regex")) + ")"
	case "&&", "||":
		return "(" + x.condition(depth-1) + " " + form + " " + x.condition(depth-1) + ")"
	case "!":
		return "!(" + x.condition(depth-1) + ")"
	case "bool ?:":
		return "(" + x.condition(depth-1) + " ? " + x.condition(depth-1) + " : " + x.condition(depth-1) + ")"
	}
	return "ran"
}

func (x *expressions) list(one func() string) string {
	members := make([]string, rapid.IntRange(0, 4).Draw(x.t, "members"))
	for i := range members {
		members[i] = one()
	}
	return strings.Join(members, ", ")
}

// celText writes a text as CEL does.
func celText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		fmt.Fprintf(&b, `\U%08x`, r)
	}
	b.WriteByte('"')
	return b.String()
}

// Each is an expression for every operator of which docs/filters.md says that it
// has an equal: what is random may leave one out.
var Each = []string{
	`ran`, `true`, `false`, `tenant == method`, `tenant != method`, `tenant < method`, `tenant <= method`, `tenant > method`, `tenant >= method`,
	`time == type_uid`, `time != type_uid`, `time < type_uid`, `time <= type_uid`, `time > type_uid`, `time >= type_uid`, `class_uid == activity_id`, `class_uid < 7`,
	`ran == (time > 0)`, `ran != (time > 0)`, `ran < (time > 0)`, `ran <= (time > 0)`, `ran > (time > 0)`, `ran >= (time > 0)`,
	`ran && time > 0`, `ran || time > 0`, `!ran`, `(ran ? tenant : method) == tenant`, `(ran ? time : type_uid) > 0`, `ran ? time > 0 : type_uid > 0`,
	`tenant in ["acme", "", "deny"]`, `tenant in []`, `time in [1, 2, -1]`, `class_uid in [6003, 7]`, `ran in [true]`,
	`time + type_uid > 0`, `time - type_uid > 0`, `time * type_uid > 0`, `time / type_uid > 0`, `time % type_uid > 0`, `-type_uid > 0`,
	`type_uid + duration_ms == 0`, `type_uid - duration_ms == 0`, `type_uid * duration_ms == 0`, `type_uid / duration_ms == 0`, `type_uid % duration_ms == 0`, `class_uid * activity_id * status_id > 0`,
	`tenant + method == "acmedeny"`, `tenant.startsWith(method)`, `tenant.endsWith(method)`, `tenant.contains(method)`, `tenant.startsWith("a")`, `tenant.contains("\u0000")`,
	`tenant.matches("^a.*e$")`, `matches(tenant, "\\d")`, `tenant.matches("")`, `size(tenant) > 2`, `tenant.size() == method.size()`, `string(time) == "7"`, `string(ran) == "true"`, `string(tenant) == "a"`,
	`message.matches("a.b")`, `message.matches("(?s)a.b")`, `message.matches("(?i)ACME")`, `message.matches("^$")`, `message.matches("(?m)^b")`, `message.matches("\\p{Han}")`, `message.matches("\\x00")`, `message.matches("b$")`,
	`1 / type_uid > 0`, `1 / 0 > 0`, `(1 / type_uid) in [0, 1]`, `string(1 / type_uid) == "0"`, `string(1 / type_uid) < tenant`, `!(1 / type_uid > 0)`, `(1 / type_uid > 0) == ran`, `1 / type_uid > 0 ? ran : time > 0`,
	`time > (-9223372036854775808)`, `type_uid == (-9223372036854775808)`, `-type_uid < time`, `(ran ? time : type_uid) / duration_ms < size(tenant)`, `((ran ? tenant : method) + message) >= string(time)`,
	`ran && 1 / type_uid > 0`, `1 / type_uid > 0 || ran`, `false && 1 / type_uid > 0`, `1 / 0 > 0 || ran`, `time > int(timestamp("1970-01-01T00:00:01Z")) * 1000`, `["acme"].exists(x, x == "acme") && ran`,
}
