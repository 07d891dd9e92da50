// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"
	"strconv"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
)

// Event validates one event. The error is a *[jsontree.SyntaxError].
func (t *Tables) Event(text []byte, o Options) (Report, error) {
	w := newWalk(t, o)
	defer w.free()
	if err := w.tree.Parse(text); err != nil {
		return Report{}, err
	}
	return w.take(w.tree.Root(), w.event), nil
}

// take returns the report that validate makes of n.
func (w *walk) take(n jsontree.Node, validate func(jsontree.Node)) Report {
	w.report, w.findings, w.textBytes, w.steps = Report{}, 0, 0, 0
	w.path, w.slots, w.present = w.path[:0], w.slots[:0], w.present[:0]
	validate(n)
	w.report.sort()
	return w.report
}

// event validates what n is.
func (w *walk) event(n jsontree.Node) {
	if w.tree.Kind(n) != jsontree.Object {
		w.wrongType(n, "", "an event, which is an object")
		return
	}
	h := w.head(n)
	if h.uid != 0 && w.tree.Kind(h.uid) == jsontree.String {
		w.report.UID = string(w.tree.Text(h.uid))
	}
	class := w.class(h.class)
	if class == nil {
		return
	}
	w.takeProfiles(h.profiles)
	if class.deprecation != "" {
		w.warn("class_deprecated", "", "%s is %s", class.title, class.deprecation)
	}
	w.item(n, class)
	w.version(h.version)
	w.typeUID(h.activity, h.typeUID)
	w.observables(n, class, h.observables)
}

// A head is what validation has to know of an event beside its attributes. Zero
// stands for what is absent.
type head struct {
	class, typeUID, activity, observables jsontree.Node
	uid, profiles, version                jsontree.Node // of metadata, if that is an object
}

func (w *walk) head(event jsontree.Node) head {
	var h head
	metadata := jsontree.Node(0)
	for m := w.tree.First(event); m != 0; m = w.tree.Next(m) {
		var place *jsontree.Node
		switch string(w.tree.Key(m)) {
		case "class_uid":
			place = &h.class
		case "type_uid":
			place = &h.typeUID
		case "activity_id":
			place = &h.activity
		case "observables":
			place = &h.observables
		case "metadata":
			place = &metadata
		default:
			continue
		}
		if *place == 0 {
			*place = m
		}
	}
	if metadata != 0 && w.tree.Kind(metadata) == jsontree.Object {
		w.metadata(&h, metadata)
	}
	return h
}

func (w *walk) metadata(h *head, metadata jsontree.Node) {
	for m := w.tree.First(metadata); m != 0; m = w.tree.Next(m) {
		switch key := w.tree.Key(m); {
		case h.uid == 0 && string(key) == "uid":
			h.uid = m
		case h.profiles == 0 && string(key) == "profiles":
			h.profiles = m
		case h.version == 0 && string(key) == "version":
			h.version = m
		}
	}
}

// class returns the event's class, given its class_uid; nil says that it has
// none, which ends its validation.
func (w *walk) class(n jsontree.Node) *item {
	const name = "class_uid"
	if n == 0 || w.options.Strict && w.tree.Kind(n) == jsontree.Null {
		w.fail("attribute_required_missing", name, "required of every event, but missing")
		return nil
	}
	text, ok := w.integer(n)
	if !ok || !w.fits(text, false) {
		w.wrongType(n, name, "integer_t")
		return nil
	}
	w.report.ClassUID, _ = strconv.ParseInt(string(text), 10, 64)
	class := w.tables.classes[w.report.ClassUID]
	if class == nil {
		w.fail("class_uid_unknown", name, "OCSF %s has no class %d", w.tables.version, w.report.ClassUID)
	}
	return class
}

// takeProfiles notes which profiles the event names. A profile that is not one
// of its class's counts all the same.
func (w *walk) takeProfiles(list jsontree.Node) {
	w.profiles = 0
	if list == 0 || w.tree.Kind(list) != jsontree.Array {
		return
	}
	index := 0
	for e := w.tree.First(list); e != 0; e = w.tree.Next(e) {
		if w.tree.Kind(e) == jsontree.String {
			name := w.tree.Text(e)
			known := false
			if i := w.tables.profiles.names.find(name); i >= 0 {
				known = w.tables.profiles.known[i]
				w.profiles |= w.tables.profiles.bits[i]
			}
			if !known {
				w.fail("profile_unknown", "metadata.profiles["+strconv.Itoa(index)+"]", "OCSF %s has no profile %s", w.tables.version, show(name))
			}
		}
		index++
	}
}

// version compares the event's version with that of the schema. One that is
// malformed is older than all.
func (w *walk) version(n jsontree.Node) {
	const path = "metadata.version"
	if n == 0 || w.tree.Kind(n) != jsontree.String || string(w.tree.Text(n)) == w.tables.version {
		return
	}
	v, ok := parseVersion(string(w.tree.Text(n)))
	c := v.compare(&w.tables.parsed)
	switch {
	case !ok:
		w.warn("version_earlier", path, "%s has not the form 1.2.3 and counts as earlier than %s", w.describe(n), w.tables.version)
	case c > 0:
		w.fail("version_incompatible_later", path, "%s is later than the schema, %s", w.describe(n), w.tables.version)
	case c == 0:
	case v.numbers[0] == "0":
		w.fail("version_incompatible_initial_development", path, "%s is from before 1.0.0, the schema is %s", w.describe(n), w.tables.version)
	case v.prerelease != "":
		w.fail("version_incompatible_prerelease", path, "%s is a prerelease from before the schema, %s", w.describe(n), w.tables.version)
	default:
		w.warn("version_earlier", path, "%s is earlier than the schema, %s", w.describe(n), w.tables.version)
	}
}

// typeUID checks that type_uid follows from the class and the activity, all of
// them integers of any size.
func (w *walk) typeUID(activityID, n jsontree.Node) {
	if activityID == 0 || n == 0 {
		return
	}
	text, ok := w.integer(activityID)
	if !ok {
		return
	}
	const perClass = 100
	var room [32]byte
	want := appendSum(room[:0], text, w.report.ClassUID*perClass)
	if got, ok := w.integer(n); ok && string(got) != string(want) {
		w.fail("type_uid_incorrect", "type_uid", "wants class_uid * 100 + activity_id = %s, found %s", clip(string(want)), w.describe(n))
	}
}

// appendSum appends the sum of an integer, as the text that w.integer returns,
// and a number from 0 to 10^15. It takes time in proportion to the digits, of
// which an event may have millions.
func appendSum(b, text []byte, n int64) []byte {
	const narrow = 18 // characters of numbers whose sum is no overflow
	if len(text) <= narrow {
		v, _ := strconv.ParseInt(string(text), 10, 64)
		return strconv.AppendInt(b, v+n, 10)
	}
	// The text has the greater magnitude, so the sum has its sign.
	start := len(b)
	b = append(b, text...)
	sign := int64(1)
	if text[0] == '-' {
		sign, start = -1, start+1
	}
	carry := sign * n
	for i := len(b) - 1; carry != 0 && i >= start; i-- {
		digit := int64(b[i]-'0') + carry
		carry = digit / 10
		if digit %= 10; digit < 0 {
			digit, carry = digit+10, carry-1
		}
		b[i] = byte('0' + digit)
	}
	switch {
	case carry > 0:
		return slices.Insert(b, start, byte('0'+carry))
	case b[start] == '0':
		return slices.Delete(b, start, start+1)
	default:
		return b
	}
}

// clip shortens a number for a message.
func clip(digits string) string {
	if len(digits) > maxShown {
		return digits[:maxShown/2] + "..."
	}
	return digits
}
