// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/softlimit"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

var (
	ingested = flag.Int("ingest", 840_000, "how many events BenchmarkIngest stores")
	backlog  = flag.Int64("backlog", 1<<30, "how many bytes of events wait on the stream in BenchmarkBacklog")
)

// layouts are the ways in which the lake is run: as a compaction every so many
// bytes would have it, beside the flushes.
var layouts = []struct {
	name string
	opts lake.Options
}{
	{"hot", lake.Options{CompactBytes: 1 << 50, CompactAfter: 24 * time.Hour}},
	{"compacting", lake.Options{CompactBytes: 8 << 20}},
}

// BenchmarkIngest stores -ingest events: bare, by nothing but a Parquet writer that
// encodes each and makes a row of it; by the same writer of rows that are there already;
// by the least that there can be on the road from a publisher over a broker to that
// writer, see [least]; then by Docket, with emitter and broker in this one process: the
// emitter writes and publishes, the broker syncs each write, the collector checks and
// commits, in each of the layouts. 256 callers emit the events of operations, and wait
// as a durable chain does, which is for their own WAL; so the path is as full as the
// machine lets it be, see [gate], and so it is when the last of these events is stored:
// others come behind it, since the last flush of all waits for its second. Last, with the
// chain that records these events before it all.
func BenchmarkIngest(b *testing.B) {
	var entries []store.Entry
	recorded(b, newLoad(3, 1000), 20_000/eventsPerOperation+1, time.Millisecond, func(e []store.Entry) { entries = append(entries, e...) })
	encode := encoding(b, len(entries))
	for _, way := range []struct {
		name   string
		before func(i int)
	}{{"bare", encode}, {"rows", func(int) {}}} {
		b.Run(way.name, func(b *testing.B) {
			n := 0
			began := processor()
			for b.Loop() {
				for n = 0; n < *ingested; n += len(entries) {
					bareSegment(b, entries, way.before)
				}
			}
			rate(b, n, processor()-began)
		})
	}
	b.Run("least", func(b *testing.B) {
		began := processor()
		for b.Loop() {
			b.StopTimer()
			s := natstest.Run(b)
			b.StartTimer()
			least(b, s, entries)
			b.StopTimer()
			s.Stop()
			b.StartTimer()
		}
		rate(b, *ingested, processor()-began)
	})
	emitting := emitted(b)
	for _, way := range []struct {
		name string
		load offer
		opts lake.Options
	}{
		{layouts[0].name, emitting, layouts[0].opts},
		{layouts[1].name, emitting, layouts[1].opts},
		{"chain", chained, layouts[1].opts},
	} {
		b.Run(way.name, func(b *testing.B) {
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				s := natstest.Run(b)
				release := softlimit.Hold(softlimit.Default) // as docket up does
				peak := newPeak()
				b.StartTimer()
				used += ingest(b, s, way.load, way.opts)
				b.StopTimer()
				peak.report(b)
				release()
				s.Stop()
				b.StartTimer()
			}
			rate(b, *ingested, used)
		})
	}
}

// rate reports how fast it was, and what processor time it took of all there
// was: that stays nearly the same when others want it too.
func rate(b *testing.B, events int, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(used.Microseconds())/float64(events)/float64(b.N), "cpu-us/event")
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// An offer gives -ingest events and those that come behind them, those of whole
// operations, to an emitter, by many callers that pass a gate before each, and returns
// when all are durable.
type offer func(b *testing.B, em *emitter.Emitter, g *gate)

const callers = 256

// A gate lets callers be so far ahead of the store that everything between them is
// busy, and no farther: what lasts does not get ahead by ever more.
type gate struct {
	mu              sync.Mutex
	moved           sync.Cond
	offered, stored int64 // events
}

const ahead = 100_000 // events

// offers returns how many operations are offered, and events are stored in the end.
func offers() (operations int, events int64) {
	operations = (*ingested + ahead) / eventsPerOperation
	return operations, int64(operations * eventsPerOperation)
}

// pass waits until one more operation may be offered.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.offered-g.stored >= ahead {
		g.moved.Wait()
	}
	g.offered += eventsPerOperation
}

// follow tells the gate what l has, until it has so many.
func (g *gate) follow(l *lake.Lake, events int64) {
	for n := int64(0); n < events; time.Sleep(2 * time.Millisecond) {
		if now := l.Manifest().Rows(); now != n {
			n = now
			g.mu.Lock()
			g.stored = n
			g.moved.Broadcast()
			g.mu.Unlock()
		}
	}
}

// emitted returns the offer of events that a chain recorded before.
func emitted(b *testing.B) offer {
	b.Helper()
	const each = 2 // operations that a caller emits again and again
	supplies := make([]*supply, callers)
	for i := range supplies {
		supplies[i] = newSupply(b, newLoad(uint64(i), 1000), each)
	}
	return func(b *testing.B, em *emitter.Emitter, g *gate) {
		share(g, func(caller int) {
			events := supplies[caller].operation(time.Now())
			outcome := len(events) - 1
			for i, e := range events {
				r := em.Emit(b.Context(), e)
				if i < outcome-1 {
					continue
				}
				if err := r.Spooled(b.Context()); err != nil { // before the handler, and before the answer
					b.Error(err)
				}
			}
		})
	}
}

// chained runs the operations.
func chained(b *testing.B, em *emitter.Emitter, g *gate) {
	rec := activity.NewRecorder(func(ctx context.Context, e ocsf.Event) activity.Ack { return em.Emit(ctx, e) })
	chain := newChain(b, interceptor.AuditDurable, rec)
	loads := make([]*load, callers)
	for i := range loads {
		loads[i] = newLoad(uint64(i), 1000)
	}
	share(g, func(caller int) { chain.Run(b.Context(), loads[caller].operation(time.Now()), handle) })
}

// share has the callers call for as many operations as there are.
func share(g *gate, operation func(caller int)) {
	all, _ := offers()
	var calls sync.WaitGroup
	for i := range callers {
		calls.Go(func() {
			for n := i; n < all; n += callers {
				g.pass()
				operation(i)
			}
		})
	}
	calls.Wait()
}

// ingest has events offered until -ingest of them are stored, and with the timer stopped
// until all are; it returns the processor time until then. What is to run beside it is
// begun when there is a lake, and ended by the function that it returns.
func ingest(b *testing.B, s *natstest.Server, offered offer, opts lake.Options, beside ...func(js jetstream.JetStream, l *lake.Lake) (end func())) (used time.Duration) {
	b.Helper()
	began := processor()
	em, err := emitter.New(emitter.Config{Dir: b.TempDir(), Name: "gateway-0", Conn: s.Conn(b)})
	if err != nil {
		b.Fatal(err)
	}
	js := s.JetStream(b)
	if err := stream.Apply(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	l, stop := collect(b, js, opts)
	for _, begin := range beside {
		defer begin(js, l)()
	}
	ctx, cancel := context.WithCancel(b.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := em.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	g := new(gate)
	g.moved.L = &g.mu
	var offering sync.WaitGroup
	offering.Go(func() { offered(b, em, g) })
	g.follow(l, int64(*ingested))
	b.StopTimer()
	used = processor() - began
	_, all := offers()
	g.follow(l, all)
	offering.Wait()
	stop()
	if err := em.Close(ctx); err != nil {
		b.Fatal(err)
	}
	cancel()
	work.Wait()
	b.StartTimer()
	return used
}

// collect runs a collector into a new lake, and compactions beside it, until
// stop.
func collect(b *testing.B, js jetstream.JetStream, opts lake.Options) (l *lake.Lake, stop func()) {
	b.Helper()
	l, err := lake.Open(b.TempDir(), opts)
	if err != nil {
		b.Fatal(err)
	}
	c, err := collector.New(collector.Config{JetStream: js, Store: l})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := c.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	work.Go(func() {
		for ctx.Err() == nil {
			done, err := l.Compact(ctx, false, atOnce)
			if err != nil && ctx.Err() == nil {
				b.Error(err)
				return
			}
			if done.Number == 0 {
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
	return l, func() {
		cancel()
		work.Wait()
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkBacklog stores what waits on the stream, with nothing beside the
// collector but the broker.
func BenchmarkBacklog(b *testing.B) {
	s := natstest.Run(b, func(o *server.Options) { o.SyncAlways = false })
	js, err := jetstream.New(s.Conn(b), jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		b.Fatal(err)
	}
	if err := stream.Apply(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	n := fill(b, js, *backlog)
	for _, layout := range layouts {
		b.Run(layout.name, func(b *testing.B) {
			began := processor()
			for b.Loop() {
				b.StopTimer()
				release := softlimit.Hold(softlimit.Default)
				peak := newPeak()
				b.StartTimer()
				l, stop := collect(b, js, layout.opts)
				for l.Manifest().Rows() < int64(n) {
					time.Sleep(time.Millisecond)
				}
				b.StopTimer()
				peak.report(b)
				release()
				stop()
				forget(b, js)
				b.StartTimer()
			}
			rate(b, n, processor()-began)
			b.ReportMetric(float64(*backlog)*float64(b.N)/b.Elapsed().Seconds()/(1<<20), "MiB/s")
		})
	}
}

// forget lets the next collector begin at the first message.
func forget(b *testing.B, js jetstream.JetStream) {
	b.Helper()
	s, err := js.Stream(b.Context(), stream.Declared().Stream.Name)
	if err != nil {
		b.Fatal(err)
	}
	for name := range s.ConsumerNames(b.Context()).Name() {
		if err := s.DeleteConsumer(b.Context(), name); err != nil {
			b.Fatal(err)
		}
	}
}

// fill publishes so many bytes of events and returns how many these are.
func fill(b *testing.B, js jetstream.JetStream, bytes int64) (n int) {
	b.Helper()
	var sent int64
	for from := newLoad(4, 1000); sent < bytes; {
		recorded(b, from, 3000, time.Millisecond, func(entries []store.Entry) {
			for i := range entries {
				h := entries[i].Header
				msg := &nats.Msg{Subject: profile.Subject(profile.Prefix, h), Data: entries[i].Raw, Header: nats.Header{}}
				msg.Header.Set(profile.HeaderEventUID, h.MetadataUID)
				msg.Header.Set(profile.HeaderEpoch, h.Epoch)
				msg.Header.Set(profile.HeaderSequence, strconv.FormatInt(h.Sequence, 10))
				if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
					b.Fatal(err)
				}
				sent += int64(len(entries[i].Raw))
				n++
			}
		})
	}
	<-js.PublishAsyncComplete()
	return n
}

// encoding returns a function that encodes one of so many events, as a writer must
// that is given events; those that a chain records, and for each of the entries that
// are written another one of the same load: without its place in a hash chain, which a
// bare writer knows nothing of.
func encoding(b *testing.B, events int) func(i int) {
	b.Helper()
	var all []lent
	from := newSupply(b, newLoad(3, 1000), events/eventsPerOperation+1)
	for len(all) < events {
		all = append(all, from.operation(time.Now())...)
	}
	var buf []byte
	return func(i int) {
		var err error
		if buf, err = ocsf.AppendCanonical(buf[:0], all[i].APIActivity); err != nil {
			b.Fatal(err)
		}
	}
}

// bareSegment writes entries as a Parquet file with the columns that the lake
// has, and syncs it. It calls before with the number of each.
func bareSegment(b *testing.B, entries []store.Entry, before func(i int)) {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "bare.parquet"))
	if err != nil {
		b.Fatal(err)
	}
	names, types := lake.Columns()
	fields := make([]arrow.Field, len(names))
	for i := range names {
		fields[i] = arrow.Field{Name: names[i], Type: map[string]arrow.DataType{
			"INT32": arrow.PrimitiveTypes.Int32, "INT64": arrow.PrimitiveTypes.Int64,
			"BOOLEAN": arrow.FixedWidthTypes.Boolean, "UTF8": arrow.BinaryTypes.String,
		}[types[i]]}
	}
	schema := arrow.NewSchema(fields, nil)
	w, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{f}, parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(1),
		parquet.WithStatsFor(lake.ColumnRaw, false), parquet.WithDictionaryFor(lake.ColumnRaw, false)), pqarrow.DefaultWriterProps())
	if err != nil {
		b.Fatal(err)
	}
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for i := range entries {
		before(i)
		bareRow(rows, &entries[i])
		if (i+1)%4096 == 0 || i+1 == len(entries) {
			rec := rows.NewRecord()
			if err := w.WriteBuffered(rec); err != nil {
				b.Fatal(err)
			}
			rec.Release()
		}
	}
	if err := errors.Join(w.Close(), f.Sync(), f.Close(), os.Remove(f.Name())); err != nil {
		b.Fatal(err)
	}
}

func bareRow(rows *array.RecordBuilder, e *store.Entry) {
	header := reflect.ValueOf(&e.Header).Elem()
	for i := range rows.Fields() {
		v := reflect.ValueOf(int64(0))
		switch {
		case i < header.NumField():
			v = header.Field(i)
		case rows.Schema().Field(i).Name == lake.ColumnRaw:
			v = reflect.ValueOf(string(e.Raw))
		case rows.Schema().Field(i).Name == lake.ColumnStreamSeq:
			v = reflect.ValueOf(int64(e.StreamSeq))
		}
		switch f := rows.Field(i).(type) {
		case *array.StringBuilder:
			f.Append(v.String())
		case *array.Int64Builder:
			f.Append(v.Int())
		case *array.Int32Builder:
			f.Append(int32(v.Int()))
		case *array.BooleanBuilder:
			f.Append(v.Bool())
		}
	}
}
