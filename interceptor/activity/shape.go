// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"slices"
	"strings"

	"github.com/docket-audit/docket/internal/profile"
)

// What events of facts look like. Whoever reads one back wants a few of its members
// and must know that it is an event at all. Package ocsf knows that of every event
// there can be, and makes something of each of its members; a history read for a
// replay has millions of events, all of which look like those that are written here.
// So an event is held against the shapes below on the way to the members that are
// wanted. One that has nothing else in it is one that ocsf would decode, and ocsf
// is not asked. Of others it is.

// A shape is one member of an object, by what it may be.
type shape struct {
	name string
	kind kind
	is   wanted  // what is read of it
	of   []shape // of what is in it, in the order of the names
}

type kind byte

const (
	aText kind = iota
	aWhole
	aTruth
	anObject
	objects // a list of them
	someTexts
	// Free-form: what is in it may be anything.
	anything
	freely // an object, or something else
)

// wanted names what is read of an event.
type wanted int

const (
	unwanted wanted = iota
	theAction
	theEnd
	theParts
	thePolicy
	thePolicyName
	thePolicyType
	thePolicyUID
	theRequest
	theResponse
	theResponseData
	theResponseMessage
	theSpan
	theSpanParent
	theSpanUID
	theStart
	theStatusCode
	theStatusDetail
	theTime
	theTrace
	theTraceUID

	// Of unmapped.docket.
	theOwn
	theAttributes
	theBroken
	theCallerSpan
	theCount
	isDurable
	theHandlerStatus
	theIndex
	theLabels
	theMetadata
	thePrincipal
	theRedactions
	moreRedactions
	theReplay
	whatWasSkipped
	theViolations
	theVisible
	whatItWould

	// Of request data and response data.
	theAnnotations
	theCommitted
	theDigest
	theDynamic
	thePatches
	theProposed
	theReason
	theSameAs
	theState
	theStateSameAs
	theResultCode
	theWarnings

	allWanted
)

var (
	eventShape = inOrder([]shape{
		{name: "action"},
		{name: "action_id", kind: aWhole, is: theAction},
		{name: "activity_id", kind: aWhole},
		{name: "activity_name"},
		{name: "actor", kind: anObject, of: []shape{
			{name: "app_name"},
			{name: "app_uid"},
			{name: "application", kind: anObject, of: uidAndName},
			{name: "session", kind: anObject, of: []shape{{name: "issuer"}, {name: "uid"}}},
			{name: "user", kind: anObject, of: []shape{
				{name: "groups", kind: objects, of: uidAndName}, {name: "name"}, {name: "type"}, {name: "type_id", kind: aWhole}, {name: "uid"},
			}},
		}},
		{name: "ai_agent", kind: anObject, of: uidAndName},
		{name: "ai_model", kind: anObject, of: []shape{{name: "ai_provider"}, {name: "name"}, {name: "uid"}, {name: "version"}}},
		{name: "api", kind: anObject, of: []shape{
			{name: "operation"},
			{name: "request", kind: anObject, of: []shape{{name: "data", kind: freely, is: theRequest, of: requestShape}, {name: "uid"}}},
			{name: "response", kind: anObject, is: theResponse, of: []shape{
				{name: "code", kind: aWhole},
				{name: "data", kind: freely, is: theResponseData, of: responseShape},
				{name: "error"},
				{name: "error_message"},
				{name: "message", is: theResponseMessage},
			}},
			{name: "service", kind: anObject, of: uidAndName},
		}},
		{name: "attestation_list", kind: objects, of: []shape{
			{name: "authority_uid"},
			{name: "chain_uid"},
			{name: "fingerprint", kind: anObject, of: fingerprintShape},
			{name: "prev_event", kind: anObject, of: []shape{{name: "fingerprint", kind: anObject, of: fingerprintShape}, {name: "type_uid", kind: aWhole}, {name: "uid"}}},
			{name: "uid"},
		}},
		{name: "authorizations", kind: objects, is: theParts, of: []shape{{name: "decision"}, {name: "policy", kind: anObject, of: []shape{
			{name: "is_applied", kind: aTruth}, {name: "name"}, {name: "type"}, {name: "uid"}, {name: "version"},
		}}}},
		{name: "category_name"},
		{name: "category_uid", kind: aWhole},
		{name: "class_name"},
		{name: "class_uid", kind: aWhole},
		{name: "disposition"},
		{name: "disposition_id", kind: aWhole},
		{name: "dst_endpoint", kind: anObject, of: endpointShape},
		{name: "duration", kind: aWhole},
		{name: "end_time", kind: aWhole, is: theEnd},
		{name: "is_alert", kind: aTruth},
		{name: "message"},
		{name: "metadata", kind: anObject, of: []shape{
			{name: "correlation_uid"},
			{name: "event_code"},
			{name: "is_truncated", kind: aTruth},
			{name: "loggers", kind: objects, of: []shape{{name: "event_uid"}, {name: "name"}, {name: "uid"}}},
			{name: "product", kind: anObject, of: []shape{{name: "name"}, {name: "uid"}, {name: "vendor_name"}, {name: "version"}}},
			{name: "profiles", kind: someTexts},
			{name: "sequence", kind: aWhole},
			{name: "tags", kind: objects, of: []shape{{name: "name"}, {name: "value"}}},
			{name: "tenant_uid"},
			{name: "uid"},
			{name: "untruncated_size", kind: aWhole},
			{name: "version"},
		}},
		{name: "policy", kind: anObject, is: thePolicy, of: []shape{
			{name: "is_applied", kind: aTruth},
			{name: "name", is: thePolicyName},
			{name: "type", is: thePolicyType},
			{name: "uid", is: thePolicyUID},
			{name: "version"},
		}},
		{name: "severity"},
		{name: "severity_id", kind: aWhole},
		{name: "src_endpoint", kind: anObject, of: endpointShape},
		{name: "start_time", kind: aWhole, is: theStart},
		{name: "status"},
		{name: "status_code", is: theStatusCode},
		{name: "status_detail", is: theStatusDetail},
		{name: "status_id", kind: aWhole},
		{name: "time", kind: aWhole, is: theTime},
		{name: "trace", kind: anObject, is: theTrace, of: []shape{
			{name: "span", kind: anObject, is: theSpan, of: []shape{
				{name: "end_time", kind: aWhole},
				{name: "operation"},
				{name: "parent_uid", is: theSpanParent},
				{name: "start_time", kind: aWhole},
				{name: "uid", is: theSpanUID},
			}},
			{name: "uid", is: theTraceUID},
		}},
		{name: "type_name"},
		{name: "type_uid", kind: aWhole},
		{name: "unmapped", kind: anObject, of: []shape{{name: "attestation_list", kind: anything}, {name: profile.Unmapped, kind: freely, is: theOwn, of: ownShape}}},
	})

	uidAndName       = []shape{{name: "name"}, {name: "uid"}}
	fingerprintShape = []shape{
		{name: "algorithm"},
		{name: "algorithm_id", kind: aWhole},
		{name: "encoding"},
		{name: "encoding_id", kind: aWhole},
		{name: "serialization"},
		{name: "serialization_id", kind: aWhole},
		{name: "value"},
	}
	endpointShape = []shape{{name: "hostname"}, {name: "ip"}, {name: "name"}, {name: "port", kind: aWhole}, {name: "svc_name"}, {name: "uid"}}

	ownShape = []shape{
		{name: ownAttributes, kind: anything, is: theAttributes},
		{name: ownBroken, kind: anything, is: theBroken},
		{name: ownCallerSpan, kind: anything, is: theCallerSpan},
		{name: ownCount, kind: anything, is: theCount},
		{name: ownDurable, kind: anything, is: isDurable},
		{name: ownHandlerStatus, kind: anything, is: theHandlerStatus},
		{name: ownIndex, kind: anything, is: theIndex},
		{name: ownLabels, kind: anything, is: theLabels},
		{name: ownMetadata, kind: anything, is: theMetadata},
		{name: ownPrincipal, kind: anything, is: thePrincipal},
		{name: ownRedactions, kind: anything, is: theRedactions},
		{name: ownMoreRedactions, kind: anything, is: moreRedactions},
		{name: ownReplay, kind: anything, is: theReplay},
		{name: ownSkipped, kind: anything, is: whatWasSkipped},
		{name: ownViolations, kind: anything, is: theViolations},
		{name: ownVisible, kind: anything, is: theVisible},
		{name: ownWould, kind: anything, is: whatItWould},
	}
	requestShape = []shape{
		{name: dataCommitted, kind: anything, is: theCommitted},
		{name: dataState, kind: anything, is: theState},
		{name: dataStateSameAs, kind: anything, is: theStateSameAs},
		{name: dataProposed, kind: anything, is: theProposed},
		{name: dataSameAs, kind: anything, is: theSameAs},
	}
	responseShape = []shape{
		{name: dataDigest, kind: anything, is: theDigest},
		{name: dataDynamic, kind: anything, is: theDynamic},
		{name: dataAnnotations, kind: anything, is: theAnnotations},
		{name: dataPatches, kind: anything, is: thePatches},
		{name: dataReason, kind: anything, is: theReason},
		{name: dataStatusCode, kind: anything, is: theResultCode},
		{name: dataWarnings, kind: anything, is: theWarnings},
	}
)

// inOrder puts shapes, and what is in them, into the order of their names.
func inOrder(in []shape) []shape {
	slices.SortFunc(in, func(a, b shape) int { return strings.Compare(a.name, b.name) })
	for i := range in {
		inOrder(in[i].of)
	}
	return in
}

// maxUsualDepth is how deep an event may be and still be of a usual shape. It is far
// less than what ocsf allows, and far more than what payloads are.
const maxUsualDepth = 100

// A look holds an event against shapes.
type look struct {
	*profile.Tree
	usual map[uint64]*[allWanted]int32 // at of usual events, by what their trees are like

	at      [allWanted]int32 // where what is wanted is; not there at 0
	unusual bool             // there is something that no shape has
}

// over looks over the whole event.
func (l *look) over(t *profile.Tree) {
	*l = look{Tree: t, usual: l.usual}
	like := t.Like()
	if at := l.usual[like]; at != nil {
		l.at = *at
		return
	}
	l.unusual = t.Depth > maxUsualDepth
	l.object(0, eventShape, false)
	if like == 0 || l.unusual {
		return
	}
	if l.usual == nil || len(l.usual) >= maxLooks {
		l.usual = make(map[uint64]*[allWanted]int32)
	}
	at := l.at
	l.usual[like] = &at
}

// maxLooks bounds how many forms of events are known by their looks.
const maxLooks = 64

// object looks over an object. In what is free anything may be.
func (l *look) object(n int, in []shape, free bool) {
	next := 0
	for c, end := n+1, l.After(n); c < end; c = l.After(c) {
		i, ok := l.find(c, in, next)
		next = i
		switch {
		case !ok:
			l.unusual = l.unusual || !free
		case !l.fits(c, &in[i]):
			l.unusual = true
		default:
			l.at[in[i].is] = int32(c)
			next++
		}
	}
}

// find returns which of in member c is, or the one before which it would be. Names of
// events are in order, mostly, and then that is not before next.
func (l *look) find(c int, in []shape, next int) (i int, ok bool) {
	name := l.Name(c)
	for i = next; i < len(in); i++ {
		// Whether they are the same is found out sooner than which is less, and that
		// by the first letter mostly.
		can := in[i].name
		if can == string(name) {
			return i, true
		}
		if len(name) == 0 || can[0] > name[0] || can[0] == name[0] && can > string(name) {
			break
		}
	}
	if (next == 0 || in[next-1].name < string(name)) && !l.Escapes {
		return i, false
	}
	if found := slices.IndexFunc(in, func(s shape) bool { return l.Is(c, s.name) }); found >= 0 {
		return found, true
	}
	return i, false
}

// fits says whether value c may be where s is, and looks into it.
func (l *look) fits(c int, s *shape) bool {
	switch s.kind {
	case aText:
		return l.Kind(c) == '"'
	case aWhole:
		raw := l.Raw(c)
		// Whether it is whole, and there is room for it, is for others to say.
		l.unusual = l.unusual || !isShort(raw)
		return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
	case aTruth:
		return l.Kind(c) == 't' || l.Kind(c) == 'f'
	case anObject, freely:
		if l.Kind(c) != '{' {
			return s.kind == freely
		}
		l.object(c, s.of, s.kind == freely || s.name == "unmapped")
		return true
	case objects, someTexts:
		if l.Kind(c) != '[' {
			return false
		}
		for item, end := c+1, l.After(c); item < end; item = l.After(item) {
			switch {
			case s.kind == objects && l.Kind(item) == '{':
				l.object(item, s.of, false)
			case s.kind == someTexts && l.Kind(item) == '"':
			default:
				return false
			}
		}
	}
	return true
}

// isShort says whether raw, which begins as a number, is a whole one with so few
// digits that every integer has room for it.
func isShort(raw []byte) bool {
	if len(raw) > 1 && raw[0] == '-' {
		raw = raw[1:]
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(raw) <= 15
}
