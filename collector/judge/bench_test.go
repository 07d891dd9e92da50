// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// mixed returns messages with the events of operations of two tenants: those of the
// examples, which a gateway recorded, each with uids, a principal, a time and a payload
// of its own. Those of many callers at once come in any order.
func mixed(tb testing.TB, rounds int) []Message {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "schemas", "ocsf", "examples", ocsf.DefaultVersion, "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no examples: %v", err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	links := map[string]*profile.Link{}
	for _, tenant := range []string{"acme", "globex"} {
		links[tenant] = &profile.Link{Emitter: "gateway-0", Epoch: storetest.NewUID()}
	}
	var all []Message
	for round := range rounds {
		tenant, principal, operation := []string{"acme", "globex"}[random.IntN(2)], fmt.Sprint("user-", random.IntN(1000)), storetest.NewUID()
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				tb.Fatal(err)
			}
			e, err := ocsf.Decode(raw)
			if err != nil {
				tb.Fatal(err)
			}
			if e.Common().Metadata.EventCode == profile.KindLifecycle {
				continue
			}
			vary(e.Common(), random, int64(round))
			b := e.Common()
			b.Metadata.TenantUID, b.Metadata.CorrelationUID = tenant, operation
			if b.Actor != nil && b.Actor.User != nil {
				b.Actor.User.UID = principal
			}
			link := links[tenant]
			link.Sequence++
			sealed, h, err := profile.SealHeader(e, *link)
			if err != nil {
				tb.Fatal(err)
			}
			link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
			all = append(all, message(store.Entry{Raw: sealed, Header: h}))
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// vary gives an event what it alone has.
func vary(b *ocsf.Base, random *rand.Rand, n int64) {
	b.Metadata.UID = storetest.NewUID()
	b.Time += n
	if b.API == nil || b.API.Request == nil {
		return
	}
	b.API.Request.UID = storetest.NewUID()
	if b.API.Request.Data != nil {
		settings := map[string]any{}
		for i := range 8 {
			settings[fmt.Sprintf("SERVICE_SETTING_%02d", i)] = fmt.Sprintf("https://service.internal/%016x", random.Uint64())
		}
		b.API.Request.Data = map[string]any{"name": fmt.Sprintf("sandbox-%06d", random.IntN(1e6)), "replicas": random.IntN(9), "environment": settings}
	}
}

// BenchmarkEvent is what the collector pays for each message before any store.
func BenchmarkEvent(b *testing.B) {
	all := mixed(b, 50)
	bytes := 0
	for _, m := range all {
		bytes += len(m.Data)
	}
	b.SetBytes(int64(bytes / len(all)))
	b.ReportAllocs()
	j := New(profile.Prefix, memory.New(memory.Options{}))
	for n := 0; b.Loop(); n++ {
		if _, err := j.Event(all[n%len(all)]); err != nil {
			b.Fatal(err)
		}
	}
}
