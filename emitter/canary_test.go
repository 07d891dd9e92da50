// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func canaries() []Canary {
	return []Canary{
		{Name: "planted", Pattern: regexp.MustCompile(`CANARY-[0-9a-f]{8}`)},
		{Name: "quoted", Pattern: regexp.MustCompile(`key="(\w+)"` + "\n")},
		{Name: "control", Pattern: regexp.MustCompile("a\x1bb")},
	}
}

const planted = "CANARY-0123abcd"

// An event in which a canary is found is replaced, wherever it is and however it
// is written; nothing of what matched is recorded.
func TestCanaries(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*ocsf.APIActivity)
		canary string
		bare   bool // the replacement names nothing of the event
		tenant string
	}{
		"a value":     {func(e *ocsf.APIActivity) { e.API.Response.Data = map[string]any{"x": "is " + planted + "!"} }, "planted", false, "acme"},
		"a name":      {func(e *ocsf.APIActivity) { e.API.Response.Data = map[string]any{planted: 1} }, "planted", false, "acme"},
		"a principal": {func(e *ocsf.APIActivity) { e.Actor.User.UID = planted }, "planted", false, "acme"},
		"raw": {func(e *ocsf.APIActivity) {
			e.API.Response.Data = ocsf.Raw(`{"x":"CANARY\u002d0123\u0061bcd"}`)
		}, "planted", false, "acme"},
		"escaped":         {func(e *ocsf.APIActivity) { e.Message = "\"a\" \\ key=\"s3cret\"\n" }, "quoted", false, "acme"},
		"a second escape": {func(e *ocsf.APIActivity) { e.Message, e.StatusDetail = "\\", "\n\ta\x1bb" }, "control", false, "acme"},
		"an operation":    {func(e *ocsf.APIActivity) { e.Metadata.CorrelationUID = planted }, "planted", true, "acme"},
		"a tenant":        {func(e *ocsf.APIActivity) { e.Metadata.TenantUID = planted }, "planted", false, profile.TenantDocket},
		"the default":     {func(e *ocsf.APIActivity) { e.Metadata.TenantUID, e.Message = "", planted }, "planted", false, profile.TenantDefault},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e, err := New(Config{Dir: dir, Name: "gateway-0", Canaries: canaries()})
			if err != nil {
				t.Fatal(err)
			}
			good := func() {
				t.Helper()
				if err := e.Emit(t.Context(), event("acme", `"fine\`+"\n")).Spooled(within(t)); err != nil {
					t.Fatal(err)
				}
			}
			good()
			bad := event("acme", "")
			tt.change(bad)
			bad.Metadata.UID = newUID()
			uid, operation := bad.Metadata.UID, bad.Metadata.CorrelationUID
			if err := e.Emit(t.Context(), bad).Spooled(within(t)); !errors.Is(err, ErrCanary) || !strings.Contains(err.Error(), tt.canary) || strings.Contains(err.Error(), planted) {
				t.Errorf("receipt: %v", err)
			}
			good()
			if err := e.Close(within(t)); err != nil {
				t.Fatal(err)
			}
			s := e.State()
			if s.Offered != 3 || s.Sequenced != 2 || s.Refused != 1 || s.Declared != 1 || s.Spooled != s.Sequenced+s.Own {
				t.Errorf("state %+v", s)
			}
			_, records := readBack(t, dir)
			last, told := map[string]int64{}, 0
			for _, r := range records {
				h, err := profile.Check(r.raw)
				if err != nil || h.Sequence != last[h.Epoch]+1 {
					t.Fatalf("sequence %d after %d, %v", h.Sequence, last[h.Epoch], err)
				}
				last[h.Epoch]++
				if raw := string(r.raw); strings.Contains(raw, planted) || strings.Contains(raw, "s3cret") || strings.Contains(r.subject, planted) {
					t.Errorf("recorded: %s on %s", raw, r.subject)
				}
				if ocsf.ClassUID(h.ClassUID) != ocsf.ClassApplicationError {
					continue
				}
				told++
				wantClean(t, "replacement", ocsf.DefaultVersion, r.raw)
				says := strings.Contains(string(r.raw), fmt.Sprintf(`"event_code":"result","event_uid":%q,"operation_uid":%q`, uid, operation))
				if h.Tenant != tt.tenant || says == tt.bare || !strings.Contains(string(r.raw), `"canary":"`+tt.canary+`"`) {
					t.Errorf("it is told as %s", r.raw)
				}
			}
			if told != 1 {
				t.Errorf("told %d times", told)
			}
		})
	}
}

func TestCanariesAreChecked(t *testing.T) {
	x := regexp.MustCompile("x")
	for name, list := range map[string][]Canary{
		"needs a name":       {{Pattern: x}},
		"a pattern":          {{Name: "a"}},
		"two canaries":       {{"a", x}, {"a", x}},
		"matches its name":   {{"x", x}},
		"matches everything": {{"a", regexp.MustCompile("x*")}},
	} {
		c := Config{Dir: "x", Name: "gateway-0", Canaries: list}.withDefaults()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No canaries cost nothing.
func TestNoCanariesCostNothing(t *testing.T) {
	raw := []byte(`{"message":"\n"}`)
	if n := testing.AllocsPerRun(100, func() { _ = sighted(nil, raw) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever is in a text, a canary in it is found.
func FuzzCanary(f *testing.F) {
	f.Add("", "")
	f.Add("\\", "\"")
	f.Add("\x00\n\\\"", "é\u2028\\u0041")
	f.Fuzz(func(t *testing.T, before, after string) {
		raw, err := ocsf.EncodeValue(map[string]any{"a": before, "b": before + "a\x1bb" + after, "c" + after: "\\"})
		if err != nil {
			return // no text
		}
		if canary := sighted(canaries(), raw); canary == nil {
			t.Fatalf("not found in %s", raw)
		}
	})
}

// BenchmarkCanaries is what the sequencer pays for each event of 1.6 KB.
func BenchmarkCanaries(b *testing.B) {
	cfg := Config{Dir: "x", Name: "gateway-0"}.withDefaults()
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: "acme"}}
	e := benchEvent()
	e.Metadata.UID, e.Message = newUID(), "a \"quoted\" text\n"
	r, err := p.seal(e, &cfg)
	if err != nil {
		b.Fatal(err)
	}
	for name, list := range map[string][]Canary{"none": nil, "one": canaries()[:1], "three": canaries()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if sighted(list, r.raw) != nil {
					b.Fatal("found")
				}
			}
		})
	}
}
