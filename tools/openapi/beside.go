// SPDX-License-Identifier: Apache-2.0

package main

import "maps"

// besideTag is that of what no .proto has.
const besideTag = "Docket"

// beside is what the server answers beside the service, by path and method; a test
// of package serve compares it with the server.
func beside() object {
	text, yes := object{"type": "string"}, object{"type": "boolean"}
	millis := object{"type": "integer", "format": "int64", "description": "Milliseconds since 1970."}
	// Whose events are meant, of a hold and of an erasure.
	selection := object{
		"tenant":    text,
		"subject":   text,
		"operation": text,
		"since":     millis,
		"until":     millis,
	}
	with := func(more object) object {
		all := maps.Clone(selection)
		maps.Copy(all, more)
		return all
	}
	left := object{"type": "object", "properties": object{
		"commit": object{"type": "integer", "format": "int64"}, "events": object{"type": "integer", "format": "int64"}, "held": object{"type": "integer", "format": "int64"},
		"files_removed": object{"type": "integer"}, "files_rewritten": object{"type": "integer"},
		"total": object{"type": "boolean", "description": "On the last line, which has the sums."},
	}}
	return object{
		"/openapi.json": object{"get": open("GetOpenAPI", "GetOpenAPI returns this document.", "application/json", object{"type": "object"})},
		"/docs":         object{"get": open("GetDocs", "GetDocs returns this document for people.", "text/html", object{"type": "string"})},
		"/v1/status": object{"get": operation(
			"GetStatus", "GetStatus says how the process and its parts are. Needs: list, of all tenants.", nil, "application/json", object{"type": "object"},
		)},
		"/v1/chain/reload": object{"post": operation(
			"ReloadChain", "ReloadChain reads the chain anew from the configuration file. Needs: admin, of all tenants.", nil, "application/json",
			object{"type": "object", "properties": object{
				"before": text, "after": text, "added": list(text), "removed": list(text), "changed": list(text), "settings": list(text), "restart": list(text), "warnings": list(text),
			}},
		)},
		"/v1/quarantine/requeue": object{"post": operation(
			"RequeueQuarantine", "RequeueQuarantine puts messages of the quarantine on the stream once more: those with the ids, or all. Needs: admin, of all tenants.",
			object{"ids": list(text), "all": yes}, "application/x-ndjson",
			object{"type": "object", "properties": object{"id": text, "became": text, "stream_seq": object{"type": "integer", "format": "int64"}, "event": text, "as": text, "reason": text}},
		)},
		"/v1/holds": object{"post": operation(
			"ChangeHolds", "ChangeHolds places a legal hold, or takes one away. Needs: admin, of all tenants.",
			object{
				"add":    object{"type": "object", "properties": with(object{"id": text, "reason": text, "by": text, "placed": millis})},
				"remove": object{"type": "string", "description": "The id of a hold."}, "reason": text, "by": text,
			},
			"application/x-ndjson", object{"type": "object", "properties": with(object{"id": text, "reason": text, "by": text, "placed": millis})},
		)},
		"/v1/erase": object{"post": operation(
			"Erase", "Erase takes events away; a stub of each stays. Needs: admin, of all tenants.",
			with(object{"reference": text, "by": text, "dry_run": yes}), "application/x-ndjson", left,
		)},
		"/v1/expire": object{"post": operation(
			"Expire", "Expire takes away what retention says. Needs: admin, of all tenants.", object{"trust_clock": yes}, "application/x-ndjson", left,
		)},
	}
}

func list(of object) object { return object{"type": "array", "items": of} }

// operation is one endpoint; body are the members of what it takes, if it does.
func operation(id, summary string, body object, produces string, answer object) object {
	o := object{
		"operationId": id, "summary": summary, "tags": []any{besideTag}, "produces": []any{produces},
		"responses": object{
			"200":     object{"description": "A successful response.", "schema": answer},
			"default": object{"description": "An error.", "schema": object{"$ref": "#/definitions/Error"}},
		},
	}
	if produces == "application/x-ndjson" {
		o["responses"].(object)["200"].(object)["description"] = "A line for each. An answer that has begun when something fails ends with the trailer Docket-Error."
	}
	if body != nil {
		o["parameters"] = []any{object{"name": "body", "in": "body", "required": true, "schema": object{"type": "object", "properties": body}}}
	}
	return o
}

// open is an endpoint that asks for no token.
func open(id, summary, produces string, answer object) object {
	o := operation(id, summary, nil, produces, answer)
	o["security"] = []any{}
	return o
}
