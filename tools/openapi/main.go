// SPDX-License-Identifier: Apache-2.0

// Command openapi finishes what protoc-gen-openapiv2 makes of docket.audit.v1:
// it reads the document from standard input and writes it to standard output as
// the server of package serve really answers.
//
//   - it has a title, a version and the bearer scheme;
//   - bytes with the option (docket.audit.v1.json) are JSON, not base64;
//   - the messages of a stream are lines of their own, not members "result", as
//     application/x-ndjson or text/event-stream;
//   - errors are {"error": {"code", "message", "field", "hint"}};
//   - it has what the server answers beside the service, too: see beside.go.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

type object = map[string]any

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run() error {
	var doc object
	if err := json.NewDecoder(os.Stdin).Decode(&doc); err != nil {
		return err
	}
	doc["info"] = object{
		"title": "Docket audit API", "version": "v1", "license": object{"name": "Apache-2.0"},
		"description": "Events of gateway interceptors, as they are stored: search, tail, SQL, counts, plans, the ledger and its proofs.",
	}
	doc["securityDefinitions"] = object{"bearer": object{
		"type": "apiKey", "in": "header", "name": "Authorization",
		"description": "\"Bearer TOKEN\": a JWT, or the token in DIR/keys/api.token.",
	}}
	doc["security"] = []any{object{"bearer": []any{}}}
	definitions := doc["definitions"].(object)
	for _, d := range definitions {
		properties, _ := d.(object)["properties"].(object)
		for _, p := range properties {
			jsonBytes(p.(object))
		}
	}
	definitions["Error"] = object{
		"type": "object", "required": []any{"error"},
		"properties": object{"error": object{
			"type": "object", "required": []any{"code", "message"},
			"properties": object{
				"code":    object{"type": "string", "description": "The name of a gRPC status code, such as invalid_argument."},
				"message": object{"type": "string"},
				"field":   object{"type": "string", "description": "The field of the request that is at fault."},
				"hint":    object{"type": "string", "description": "What can be done."},
			},
		}},
	}
	paths := doc["paths"].(object)
	for _, methods := range paths {
		for _, m := range methods.(object) {
			finish(m.(object))
		}
	}
	for path, methods := range beside() {
		if paths[path] != nil {
			return fmt.Errorf("%s is a path of the service", path)
		}
		paths[path] = methods
	}
	doc["tags"] = append(doc["tags"].([]any), object{"name": besideTag, "description": "What is not in gRPC."})
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(doc)
}

// jsonBytes makes JSON of bytes: all bytes of the service are JSON, as a test of
// package serve makes sure.
func jsonBytes(p object) {
	if items, ok := p["items"].(object); ok {
		if items["format"] == "byte" || p["format"] == "byte" {
			delete(p, "format")
			p["type"], p["items"] = "array", object{"type": "object"}
		}
		return
	}
	if p["format"] == "byte" {
		delete(p, "format")
		p["type"] = "object"
	}
}

func finish(operation object) {
	responses := operation["responses"].(object)
	responses["default"] = object{"description": "An error.", "schema": object{"$ref": "#/definitions/Error"}}
	ok := responses["200"].(object)
	schema := ok["schema"].(object)
	properties, _ := schema["properties"].(object)
	result, streamed := properties["result"]
	if !streamed {
		return
	}
	ok["schema"] = result
	ok["description"] = "A line or an event of SSE for each. The last is {\"end\": {}}, or the event end, when nothing is missing, and {\"error\": {...}}, or the event error, when something went wrong behind the first; where neither came, the connection was cut."
	operation["produces"] = []any{"application/x-ndjson", "text/event-stream"}
}
