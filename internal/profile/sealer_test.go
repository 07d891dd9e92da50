// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// texts are what an event may say, also such as it may not.
var texts = []string{
	"", "-", "x", "acme", "a longer text than what was there, by far and more", "é", "\u2028", `a "quoted" \ text`, "\x00", "\xff",
	"evaluation", "outcome", "nothing", "1.8.0", "1.9.0", "2.0.0", strings.Repeat("x", 20_000),
}

// changesOf draws what is to be changed in an event, so that it can be done to two.
func changesOf(r *rapid.T) func(ocsf.Event) {
	var all []func(b *ocsf.Base)
	for range rapid.IntRange(0, 3).Draw(r, "changes") {
		text, n := rapid.SampledFrom(texts).Draw(r, "text"), rapid.Int64Range(-2, 1<<54).Draw(r, "number")
		all = append(all, rapid.SampledFrom([]func(b *ocsf.Base){
			func(b *ocsf.Base) { b.Metadata.UID = text },
			func(b *ocsf.Base) { b.Metadata.TenantUID = text },
			func(b *ocsf.Base) { b.Metadata.CorrelationUID = text },
			func(b *ocsf.Base) { b.Metadata.EventCode = text },
			func(b *ocsf.Base) { b.Metadata.Version = text },
			func(b *ocsf.Base) {
				b.Metadata.Tags = append(b.Metadata.Tags, ocsf.KeyValueObject{Name: text, Value: text})
			},
			func(b *ocsf.Base) { b.Message = text },
			func(b *ocsf.Base) { b.StatusDetail = text },
			func(b *ocsf.Base) { b.Time = n },
			func(b *ocsf.Base) { b.Duration = &n },
			func(b *ocsf.Base) { b.Policy = &ocsf.Policy{UID: text, Name: text} },
			func(b *ocsf.Base) { b.Actor = &ocsf.Actor{AppUID: text} },
			func(b *ocsf.Base) { b.API = &ocsf.API{Operation: text, Service: &ocsf.Service{Name: text}} },
			func(b *ocsf.Base) { b.Unmapped = nil },
			func(b *ocsf.Base) { b.Unmapped = map[string]any{} },
			func(b *ocsf.Base) { b.Unmapped = map[string]any{text: text} },
			func(b *ocsf.Base) { b.Unmapped = map[string]any{"attestation_list": text, "docket": text, "z": n} },
			func(b *ocsf.Base) {
				b.Unmapped = map[string]any{"docket": map[string]any{"ran": text == "", "plan": text, "n": n}}
			},
			func(b *ocsf.Base) { b.Unmapped = map[string]any{"docket": map[string]any{"plan": n}} },
		}).Draw(r, "change"))
	}
	return func(e ocsf.Event) {
		for _, change := range all {
			change(e.Common())
		}
	}
}

// TestSealer: what a Sealer seals is what Seal makes of it, whatever it sealed before.
func TestSealer(t *testing.T) {
	sealed := 0
	rapid.Check(t, func(r *rapid.T) {
		var s profile.Sealer
		var room []byte
		link := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
		for range rapid.IntRange(1, 12).Draw(r, "events") {
			version, n := rapid.SampledFrom(profile.Versions()).Draw(r, "version"), rapid.IntRange(0, 5).Draw(r, "event")
			change := changesOf(r)
			ours, alone := story(version)[n], story(version)[n]
			change(ours)
			change(alone)
			if rapid.IntRange(0, 9).Draw(r, "strange") == 0 {
				link.Emitter, link.Epoch = rapid.SampledFrom(texts).Draw(r, "emitter"), rapid.SampledFrom(texts).Draw(r, "epoch")
			}
			want, wantHeader, wantErr := profile.AppendSealed(nil, alone, link)
			raw, h, err := s.Append(room[:0], ours, link)
			if string(raw) != string(want) || h != wantHeader || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				r.Fatalf("%s\n%+v, %v\nwant %s\n%+v, %v", raw, h, err, want, wantHeader, wantErr)
			}
			if err != nil {
				continue
			}
			room = raw
			sealed++
			if _, err := profile.Check(raw); err != nil {
				r.Fatalf("%v: %s", err, raw)
			}
			link.Sequence++
			link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
		}
	})
	if sealed == 0 {
		t.Error("nothing was sealed")
	}
}
