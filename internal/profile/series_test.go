// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf"
)

// sameSeries compares what is known of an event by a series that has had many with
// what is known of it on its own, down to where its fingerprint is or belongs.
func sameSeries(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte, many *Series,
) {
	t.Helper()
	for _, seals := range []*form{nil, aside, inPlace} {
		want, wantErr := scanFor(raw, seals, false)
		got, err := many.scan(raw, seals)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || err == nil && *got != want {
			t.Fatalf("%s\n%+v, %v\nwant %+v, %v", raw, got, err, want, wantErr)
		}
	}
	want, wantErr := Check(raw)
	if h, err := many.Check(raw); h != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("check %s\n%+v, %v\nwant %+v, %v", raw, h, err, want, wantErr)
	}
	want, wantErr = Parse(raw)
	if h, err := many.Parse(raw); h != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("parse %s\n%+v, %v\nwant %+v, %v", raw, h, err, want, wantErr)
	}
}

// unsealed is an event before it is attested.
func unsealed(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte,
) []byte {
	t.Helper()
	var e map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%v", err)
	}
	delete(e, attestationList)
	if in, ok := e["unmapped"].(map[string]any); ok {
		delete(in, attestationList)
	}
	bare, err := ocsf.EncodeValue(e)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return bare
}

// resealed gives an event the fingerprint that its bytes have, if it is written where
// there is one.
func resealed(raw []byte) []byte {
	s, err := scan(raw)
	if err != nil || !s.exact || s.form == nil {
		return raw
	}
	digits := raw[s.cut+len(s.form.head) : s.cutEnd-len(tail)]
	copy(digits, s.compute(raw, new(digest)))
	return raw
}

// changed is an event with another value in the place of one.
func changed(raw []byte, n int, value string) []byte {
	var tree Tree
	tree.grow(raw)
	v := tree.nodes[n%len(tree.nodes)]
	return slices.Concat(raw[:v.at], []byte(value), raw[v.end:])
}

// TestSeries reads events of which some values were changed, each after many others,
// and those with the right fingerprint: what is known of it does not depend on those.
func TestSeries(t *testing.T) {
	events := exampleEvents(t)
	events = append(slices.Clone(events[:6]), events[len(events)-6:]...)
	for _, raw := range slices.Clone(events) {
		events = append(events, unsealed(t, raw))
	}
	var hits, reads, right int
	rapid.Check(t, func(r *rapid.T) {
		var many Series
		for range rapid.IntRange(2, 12).Draw(r, "events") {
			raw := slices.Clone(rapid.SampledFrom(events).Draw(r, "event"))
			for range rapid.IntRange(0, 4).Draw(r, "changes") {
				if judge(raw) != nil {
					break
				}
				value := rapid.SampledFrom(otherwise).Draw(r, "other")
				if rapid.Bool().Draw(r, "a text") {
					value = rapid.SampledFrom(otherwise[:8]).Draw(r, "text")
				}
				raw = changed(raw, rapid.IntRange(0, 200).Draw(r, "value"), value)
			}
			if rapid.Bool().Draw(r, "sealed again") {
				raw = resealed(raw)
			}
			learned := many.ids
			sameSeries(r, raw, &many)
			if _, err := many.Check(raw); err == nil {
				right++
				if many.ids == learned {
					hits++
				}
			}
			reads++
		}
	})
	if right < reads/10 || hits < right/10 {
		t.Errorf("of %d events %d have their fingerprint, and %d of these fitted a mould", reads, right, hits)
	}
}

// TestEachValueOfSeries changes each value of an example of each kind and version, on
// its own and back, and seals it again.
func TestEachValueOfSeries(t *testing.T) {
	seen := map[string]bool{}
	for _, raw := range exampleEvents(t) {
		h, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := scan(raw)
		if seen[h.Kind+s.form.version] {
			continue
		}
		seen[h.Kind+s.form.version] = true
		bare := unsealed(t, raw)
		var many Series
		var tree Tree
		tree.grow(raw)
		for n := range tree.Len() {
			for i, value := range otherwise {
				if (i+n)%19 != 0 { // each value some, and each kind of them all
					continue
				}
				many.rest, many.missed = 0, 0
				sameSeries(t, raw, &many)
				other := changed(raw, n, value)
				sameSeries(t, other, &many)
				sameSeries(t, resealed(other), &many)
				sameSeries(t, bare, &many)
				sameSeries(t, changed(bare, n, value), &many)
			}
		}
	}
}

// TestSeriesRemembers: what one event says is not said of the next one.
func TestSeriesRemembers(t *testing.T) {
	var k Series
	for i, raw := range exampleEvents(t) {
		first, err := k.Check(raw)
		if err != nil {
			t.Fatal(err)
		}
		learned := k.ids
		kept := first
		kept.MetadataUID = strings.Clone(first.MetadataUID)
		for _, uid := range []string{"01a22d99-594a-7a0a-85a9-743690e54801", "01a22d99-594a-7a0a-85a9-743690e54802"} {
			other, err := k.Check(resealed([]byte(strings.ReplaceAll(string(raw), first.MetadataUID, uid))))
			if err != nil || other.MetadataUID != uid || other.Fingerprint == first.Fingerprint || k.ids != learned {
				t.Fatalf("%d: %+v, %v", i, other, err)
			}
			if first != kept {
				t.Fatalf("%d: a header changed: %+v", i, first)
			}
			if again, err := k.Check(raw); err != nil || again != first {
				t.Fatalf("%d: %+v, %v, was %+v", i, again, err, first)
			}
		}
	}
}

// TestTampered: of an event that fits a mould, each byte is under the fingerprint.
func TestTampered(t *testing.T) {
	all := exampleEvents(t)
	for _, raw := range [][]byte{all[0], all[len(all)-1]} {
		var k Series
		for i := range raw {
			if _, err := k.Check(raw); err != nil {
				t.Fatal(err)
			}
			for _, flip := range []byte{1, 2, 0x20} {
				other := bytes.Clone(raw)
				other[i] ^= flip
				h, err := k.Check(other)
				if want, wantErr := Check(other); err == nil || h != want || err.Error() != wantErr.Error() {
					t.Fatalf("byte %d: %+v, %v, want %v: %s", i, h, err, wantErr, other)
				}
			}
			k.rest, k.missed = 0, 0
		}
	}
}

// A stranger is an event like no other that has the same seed's.
func stranger(raw []byte, r *rand.Rand) []byte {
	return []byte(strings.Replace(string(raw), `{"`, fmt.Sprintf(`{"A%08x":%q,"`, r.Uint32(), strings.Repeat("x", r.IntN(300))), 1))
}

// TestSeriesIsSmall: neither many forms, nor giants, nor many values make a series
// large; and it gives up on those that are like no other, for a while.
func TestSeriesIsSmall(t *testing.T) {
	var k Series
	r := rand.New(rand.NewPCG(1, 1))
	raw := exampleEvents(t)[0]
	for range 1000 {
		sameSeries(t, stranger(raw, r), &k)
	}
	if most := uint64(1000 * 5 / 4); k.searches > most {
		t.Errorf("it looked for %d of 5000 events that are like no other, want at most %d", k.searches, most)
	}
	long := strings.Repeat("é", seriesMould/8)
	for _, old := range []string{`"message":"`, `"name":"`, `"uid":"`} {
		k.rest = 0
		sameSeries(t, []byte(strings.Replace(string(raw), old, old+long, 1)), &k)
		sameSeries(t, []byte(strings.Replace(string(raw), old, old+long+long+long, 1)), &k)
	}
	tags := strings.Repeat(`{"name":"x","value":"y"},`, seriesMould/32)
	for _, space := range []string{"", " "} { // with one, it is not sure that it is canonical
		k.rest = 0
		sameSeries(t, []byte(strings.Replace(string(raw), `"tags":[`, `"tags":[`+tags+space, 1)), &k)
	}
	if len(k.moulds) != seriesMoulds {
		t.Errorf("%d moulds", len(k.moulds))
	}
	room := 0
	for _, m := range k.moulds {
		if len(m.forks) > maxForks || cap(m.nodes) > seriesNodes || cap(m.text) > 2*seriesMould {
			t.Errorf("a mould of %d forks, %d nodes, %d bytes", len(m.forks), cap(m.nodes), cap(m.text))
		}
		room += cap(m.text) + cap(m.room) + 20*cap(m.nodes) + 8*cap(m.marks) + 32*cap(m.notes) + 128*cap(m.slots)
	}
	if room > 4<<20 {
		t.Errorf("moulds of %d bytes", room)
	}
	for range 2 * mostMissed { // then what is alike is found again
		if _, err := k.Check(raw); err != nil {
			t.Fatal(err)
		}
	}
	if k.missed > 0 || k.rest > 0 {
		t.Errorf("an event that came again and again fits no mould")
	}
}

// TestSoughtInVain: a value that has to be looked at to its end, and may not be where it
// is, is not looked at once for each mould.
func TestSoughtInVain(t *testing.T) {
	raw := strings.TrimSuffix(string(exampleEvents(t)[0]), "}")
	first := func(value string, form int) []byte {
		return []byte(strings.Replace(raw, `{"`, `{"A":`+value+`,"`, 1) + fmt.Sprintf(`,"zz%03d":1}`, form))
	}
	long := strings.Repeat("x", seriesMould/2)
	for name, value := range map[string]string{
		"names out of order": `{"b":"` + long + `","a":1}`, "half a pair": `"` + long + `\ud83d"`, "no number": strings.Repeat("1", seriesMould/2) + ".",
	} {
		var k Series
		for form := range seriesMoulds {
			k.rest, k.missed = 0, 0
			sameSeries(t, first("1", form), &k)
		}
		k.rest, k.missed = 0, 0
		bad := first(value, seriesMoulds)
		_ = k.find(bad, nil)
		asked := 0
		for _, m := range k.moulds {
			if m.asked == k.searches {
				asked++
			}
		}
		if asked == 0 || asked > maxSought+1 {
			t.Errorf("%s: %d moulds were asked", name, asked)
		}
		sameSeries(t, bad, &k)
	}
}

// FuzzSeries: an event is read as on its own after any other.
func FuzzSeries(f *testing.F) {
	all := exampleEvents(f)
	for i, raw := range all {
		f.Add(raw, []byte(strings.ReplaceAll(string(raw), `"`+ProfileRecordIntegrity, `"x`)))
		f.Add(raw, all[(i+1)%len(all)])
		f.Add(unsealed(f, raw), unsealed(f, all[(i+1)%len(all)]))
	}
	f.Fuzz(func(t *testing.T, before, raw []byte) {
		var many Series
		sameSeries(t, before, &many)
		sameSeries(t, raw, &many)
		sameSeries(t, raw, &many)
		sameSeries(t, resealed(bytes.Clone(raw)), &many)
		sameSeries(t, before, &many)
	})
}

// BenchmarkSeries reads events of which all fit a mould, and events of which none does,
// beside what they cost each on its own.
func BenchmarkSeries(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	examples := exampleEvents(b)
	strange, broken := make([][]byte, 4000), make([][]byte, 4000)
	for i := range strange {
		strange[i] = stranger(examples[i%len(examples)], r)
		broken[i] = strange[i][:len(strange[i])-1-r.IntN(100)]
	}
	for name, all := range map[string][][]byte{"alike": examples, "strange": strange, "broken": broken} {
		b.Run(name+"/alone", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				_, _ = Check(all[i%len(all)])
			}
		})
		b.Run(name+"/series", func(b *testing.B) {
			var k Series
			for i := 0; b.Loop(); i++ {
				_, _ = k.Check(all[i%len(all)])
			}
		})
	}
}
