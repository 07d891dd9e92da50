// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// Encode is [Append] to a new slice.
func Encode(e Event) ([]byte, error) {
	b, err := Append(make([]byte, 0, 2048), e)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Append appends e to dst as canonical JSON (RFC 8785, no trailing newline) and
// returns the longer slice. It allocates nothing when dst has the room, but for
// free-form values that are neither [Canonical] nor plain.
//
// Two exceptions from RFC 8785 are what the schema asks of who writes for
// others: a float_t that holds a whole number keeps a fraction ("5.0", for a
// validator takes "5" to be an integer), and an integer attribute is written
// with all of its 64 bits. [AppendCanonical] makes no exceptions.
//
// What follows from other attributes is derived, and e stays as it is:
// class_uid, category_uid and type_uid, and the sibling of each enum value, such
// as action for action_id, unless the sibling is set. The version is
// metadata.version, or [DefaultVersion]. None of this is done to an event that
// is [Base.Verbatim].
//
// The concrete value of e MUST NOT be a nil pointer. Free-form values of other Go
// types than those of JSON are written as encoding/json/v2 writes them.
//
// It fails with an [*EncodeError], which says where. In it is a [*VersionError]
// for an attribute or class that the version lacks, an [*UnknownVersionError],
// an [*InexactError] for a free-form integer that canonical JSON cannot hold,
// [ErrUTF8], [ErrNotFinite] or [ErrDepth]. dst is then returned as it was.
func Append(dst []byte, e Event) ([]byte, error) { return appendEvent(dst, e, false) }

// AppendCanonical is [Append] with RFC 8785 to the letter, for bytes that are to
// be hashed: a whole float_t has no fraction, and an integer attribute beyond
// 2^53 is an [*InexactError] if RFC 8785 would write other digits for it.
func AppendCanonical(dst []byte, e Event) ([]byte, error) { return appendEvent(dst, e, true) }

func appendEvent(dst []byte, event Event, pure bool) ([]byte, error) {
	if event == nil {
		return dst, &EncodeError{Err: errors.New("there is no event")}
	}
	e, _ := encoders.Get().(*encoder)
	e.b, e.pure = dst, pure
	e.begin(event.Common())
	event.encode(e, noKey)
	b, err, at := e.b, e.err, e.at
	e.reset()
	encoders.Put(e)
	if err != nil {
		return dst, &EncodeError{Path: pathAt(b[len(dst):at]), Err: err}
	}
	return b, nil
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// An encoder writes one event. Its methods are what the generated encode
// methods are made of. The first error is kept, and what is written after it is
// thrown away in the end, so that nobody has to ask.
type encoder struct {
	b   []byte
	err error
	at  int // len(b) when err came up

	// pure says that RFC 8785 has no exceptions.
	pure bool
	// verbatim says that nothing is derived, nor checked against the version.
	verbatim bool
	// version has the one bit of the event's version; 0 if verbatim.
	version versions

	// depth is how many objects and arrays are open; after an error it is beyond
	// all bounds, so that no more of them are opened.
	depth int

	// extra holds the members of the object being written that have no field and
	// are still to be merged in; around are those of the objects around it.
	extra  Extra
	around []pending

	derived derived
}

// Derived is what the class derives for the attributes of Base.
type derived struct {
	class, category, activity          int64
	className, categoryName            string
	activityName, typeName, statusName string
}

// Pending members belong to the object that is depth levels down.
type pending struct {
	depth int
	extra Extra
}

// reset makes e ready for another event. It does by hand, and but for what an
// event without errors leaves as it was, what *e = encoder{} would do.
func (e *encoder) reset() {
	if e.err != nil {
		*e = encoder{}
		return
	}
	e.b, e.extra, e.depth, e.derived = nil, nil, 0, derived{}
}

func (e *encoder) begin(b *Base) {
	e.verbatim, e.version = b.Verbatim, 0
	if e.verbatim {
		return
	}
	v := b.Metadata.Version
	if v == "" {
		v = DefaultVersion
	}
	if e.version = versionOf(v); e.version == 0 {
		e.fail(&UnknownVersionError{Version: v})
	}
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err, e.at = err, len(e.b)
		e.depth = math.MaxInt / 2
	}
}

// in says whether an attribute that only the versions of set have may be written.
func (e *encoder) in(set versions, name string) bool {
	if e.verbatim || e.version&set != 0 {
		return true
	}
	if e.err == nil {
		e.b = append(append(append(e.b, '"'), name...), `":`...)
		e.fail(&VersionError{Name: name, Version: e.version.String(), Versions: set.list()})
	}
	return false
}

// always says whether a number is written although it is zero: where the version
// requires the attribute.
func (e *encoder) always(required versions) bool { return e.version&required != 0 }

// derive settles what only the class knows.
func (e *encoder) derive(c *class, activity, status int64) {
	if e.verbatim {
		return
	}
	if e.version&c.in == 0 && e.err == nil {
		e.key(keyClassUID)
		e.fail(&VersionError{Name: fmt.Sprintf("class %s (%d)", c.caption, c.uid), Class: c.uid, Version: e.version.String(), Versions: c.in.list()})
	}
	d := &e.derived
	d.class, d.category, d.activity = int64(c.uid), int64(c.category), activity
	d.className, d.categoryName = c.caption, c.categoryCaption
	if name := c.activities.in(activity, e.version); name != "" {
		d.typeName = name
		if activity != other {
			d.activityName = name
		}
	}
	if status != 0 && status != other {
		d.statusName = c.statuses.in(status, e.version)
	}
}
