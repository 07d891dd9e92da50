// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// messageHeadroom is what is kept of a server's max_payload for the headers of a
// message, generously.
const messageHeadroom = 512

// A tooLongError says that an event is longer than what can be published.
type tooLongError struct{ bytes, most int }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("emit event: %v: %v", ErrUnfit, e.why())
}

func (e *tooLongError) why() string {
	return fmt.Sprintf("%d bytes long, the limit is %d", e.bytes, e.most)
}

// Unwrap returns the decision that a caller can take.
func (e *tooLongError) Unwrap() error { return ErrUnfit }

// longest returns how long an event may be: what is configured, or what the
// server takes that the emitter was last connected to, if that is less. A server
// that takes next to nothing is not followed: events wait for a better one.
func (e *Emitter) longest() int {
	const leastBytes = 16 << 10
	if n := e.serverTakes.Load(); n > 0 {
		return min(e.cfg.MaxEventBytes, max(leastBytes, int(n)-messageHeadroom))
	}
	return e.cfg.MaxEventBytes
}

// payloadBytes is from where on a member of an event's data counts as a payload.
const payloadBytes = 1 << 10

// shrink puts digests in the place of the payloads of e, as package activity does
// beyond its limit of capture, and reports whether there were any. It is never a
// part of a payload that stays: a cut one would look like another one.
//
// An evaluation says with how it can be replayed now, and why.
func shrink(e ocsf.Event, why string) bool {
	b := e.Common()
	if b.API == nil {
		return false
	}
	api, left := *b.API, 0
	if req := api.Request; req != nil && req.Data != nil {
		if data, missing, n := withoutPayloads(req.Data); n > 0 {
			left += n
			copied := *req
			copied.Data = data
			api.Request = &copied
			lowerGrade(b, missing, why)
		}
	}
	if res := api.Response; res != nil && res.Data != nil {
		if data, n := digestOf(res.Data); n > 0 {
			left += n
			copied := *res
			copied.Data = data
			api.Response = &copied
		}
	}
	if left == 0 {
		return false
	}
	b.API = &api
	kilobytes := (int64(left) + 1023) / 1024
	if before := b.Metadata.UntruncatedSize; before != nil {
		kilobytes += *before
	}
	b.Metadata.IsTruncated, b.Metadata.UntruncatedSize = new(true), new(kilobytes)
	return true
}

func sum(raw []byte) string {
	d := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(d[:])
}

// withoutPayloads returns data with a digest in the place of each payload, the
// names of those, and how many bytes they had.
func withoutPayloads(data any) (rest map[string]any, missing []string, bytes int) {
	raw, err := ocsf.EncodeValue(data)
	if err != nil {
		return nil, nil, 0
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(raw, &members) != nil {
		if len(raw) < payloadBytes {
			return nil, nil, 0
		}
		return map[string]any{"digest": sum(raw), "bytes": len(raw)}, []string{"data"}, len(raw)
	}
	rest = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if len(value) < payloadBytes {
			rest[name] = ocsf.Canonical(value)
			continue
		}
		rest[name+"_digest"], rest[name+"_bytes"] = sum(value), len(value)
		missing, bytes = append(missing, name), bytes+len(value)
	}
	return rest, missing, bytes
}

// digestOf returns what is told of a response that is too long: its digest, and
// whether it allowed. Its members mean something together only.
func digestOf(data any) (rest map[string]any, bytes int) {
	raw, err := ocsf.EncodeValue(data)
	if err != nil || len(raw) < payloadBytes {
		return nil, 0
	}
	rest = map[string]any{"digest": sum(raw), "bytes": len(raw)}
	var members map[string]jsontext.Value
	if json.Unmarshal(raw, &members) == nil && len(members["allowed"]) > 0 && len(members["allowed"]) < payloadBytes {
		rest["allowed"] = ocsf.Canonical(members["allowed"])
	}
	return rest, len(raw)
}

// lowerGrade writes how an evaluation without these payloads can be replayed: it
// can without the current state, in part, and cannot without anything else.
func lowerGrade(b *ocsf.Base, missing []string, why string) {
	if b.Metadata.EventCode != profile.KindEvaluation {
		return
	}
	grade := "partial"
	if slices.ContainsFunc(missing, func(name string) bool { return name != "current_state" }) {
		grade = "none"
	}
	tags := slices.Clone(b.Metadata.Tags)
	for i := range tags {
		if tags[i].Name == profile.TagReplayGrade {
			if tags[i].Value == "none" {
				grade = "none"
			}
			tags[i].Value = grade
		}
	}
	b.Metadata.Tags = tags
	b.Unmapped = maps.Clone(b.Unmapped)
	if b.Unmapped == nil {
		b.Unmapped = map[string]any{}
	}
	docket, _ := b.Unmapped[profile.Unmapped].(map[string]any)
	docket = maps.Clone(docket)
	if docket == nil {
		docket = map[string]any{}
	}
	docket["replay"] = map[string]any{"grade": grade, "why": fmt.Sprintf("the event is %s: of %q only digests are recorded", why, missing)}
	b.Unmapped[profile.Unmapped] = docket
}
