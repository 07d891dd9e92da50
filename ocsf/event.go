// SPDX-License-Identifier: Apache-2.0

package ocsf

// DefaultVersion is the schema version of an event whose metadata.version is empty.
const DefaultVersion = "1.8.0"

// An Event is one OCSF event. Its concrete type is a pointer to the struct of
// its class, such as [*APIActivity]; [New] makes one of any class.
type Event interface {
	// Common returns the attributes that every class has. It is never nil, and
	// it is the event's own: a change of it is a change of the event.
	Common() *Base
	// Class returns the class that the type is made for.
	Class() ClassUID
	// Activity returns activity_id, whose constants are the class's own.
	Activity() int64

	encode(e *encoder, key string)
	decode(*decoder)
}

// Common implements [Event].
func (b *Base) Common() *Base { return b }

// A TypeUID says what an event is, class and activity in one number:
// class_uid * 100 + activity_id.
type TypeUID int64

// TypeOf returns the type_uid of an activity of a class.
func TypeOf(class ClassUID, activity int64) TypeUID { return TypeUID(int64(class)*100 + activity) }

// Class returns the class that t is a type of.
func (t TypeUID) Class() ClassUID { return ClassUID(t / 100) }

// Activity returns the activity_id that t stands for.
func (t TypeUID) Activity() int64 { return int64(t % 100) }
