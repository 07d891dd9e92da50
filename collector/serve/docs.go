// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"encoding/json"
	"html/template"
	"net/http"
	"sync"

	"github.com/docket-audit/docket/schemas/openapi"
)

func document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", typeJSON)
	w.Write(openapi.Document)
}

// docs is /docs: the OpenAPI document for people, without a script.
func docs(w http.ResponseWriter, _ *http.Request) {
	api, err := readDocument()
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = docsPage.Execute(w, api) // an error is of a reader that went away
}

type apiDocument struct {
	Info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	} `json:"info"`
	Paths map[string]map[string]struct {
		Summary     string   `json:"summary"`
		Description string   `json:"description"`
		Tags        []string `json:"tags"`
		Parameters  []struct {
			Name        string `json:"name"`
			In          string `json:"in"`
			Type        string `json:"type"`
			Description string `json:"description"`
		} `json:"parameters"`
	} `json:"paths"`
}

var readDocument = sync.OnceValues(func() (*apiDocument, error) {
	api := new(apiDocument)
	return api, json.Unmarshal(openapi.Document, api)
})

var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Info.Title}}</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code { font-size: .95em }
table { border-collapse: collapse; margin-bottom: 2rem }
td { padding: .2rem 1rem .2rem 0; vertical-align: top; white-space: pre-line }
h2 { text-transform: uppercase; font-size: 1rem }
h2 code { text-transform: none }
</style>
<h1>{{.Info.Title}} {{.Info.Version}}</h1>
<p>{{.Info.Description}}</p>
<p>The whole of it, for programs: <a href="/openapi.json"><code>/openapi.json</code></a>.</p>
{{range $path, $methods := .Paths}}{{range $method, $op := $methods}}
<h2>{{$method}} <code>{{$path}}</code></h2>
<p>{{$op.Summary}} {{$op.Description}}</p>
{{with $op.Parameters}}<table>
{{range .}}<tr><td><code>{{.Name}}</code><td>{{.Type}} in {{.In}}<td>{{.Description}}
{{end}}</table>{{end}}
{{end}}{{end}}
</html>
`))
