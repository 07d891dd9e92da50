// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// All are the dashboards by the name of their file. Their uids are in links and
// bookmarks, and never change.
func All() map[string]Dashboard {
	return map[string]Dashboard{
		"overview.json":    Overview(),
		"evaluations.json": Evaluations(),
		"pipeline.json":    Pipeline(),
		"storage.json":     Storage(),
		"replay.json":      Replay(),
	}
}

// Files are the committed dashboards by file name.
func Files() map[string][]byte {
	files := make(map[string][]byte)
	for name, d := range All() {
		files[name] = encode(d)
	}
	return files
}

func encode(d Dashboard) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		panic(fmt.Sprintf("encode dashboard %s: %v", d.UID, err)) // plain structs always encode
	}
	return b.Bytes()
}

// The data sources are variables, so that the dashboards work in any Grafana.
// What is chosen at first are those of provisioning/datasources.
var (
	prometheus = Datasource{Type: "prometheus", UID: "${prometheus}"}
	clickhouse = Datasource{Type: "grafana-clickhouse-datasource", UID: "${clickhouse}"}
)

var (
	chooseMetrics = Variable{Name: "prometheus", Label: "Prometheus", Type: "datasource", Query: prometheus.Type, Current: Current{"Prometheus", "docket-prometheus"}}
	chooseStore   = Variable{Name: "clickhouse", Label: "Store", Type: "datasource", Query: clickhouse.Type, Current: Current{"ClickHouse", "docket-clickhouse"}}

	gateways     = labels("gateway", "Gateway", "docket_emitter_offered_total", "instance")
	collectors   = labels("collector", "Collector", "docket_collector_events_total", "instance")
	interceptors = labels("interceptor", "Interceptor", "docket_chain_evaluations_total", "interceptor")
	bindingNames = labels("binding", "Binding", `docket_chain_evaluations_total{interceptor=~"$interceptor"}`, "binding")

	tenants = choosing(Variable{Name: "tenant", Label: "Tenant", Query: "SELECT DISTINCT tenant FROM events ORDER BY tenant"}, clickhouse)
)

// labels is a variable of the values that a label of a metric has.
func labels(name, label, metric, of string) Variable {
	v := choosing(Variable{Name: name, Label: label, Query: fmt.Sprintf("label_values(%s, %s)", metric, of)}, prometheus)
	v.AllValue = ".*"
	return v
}

func choosing(v Variable, from Datasource) Variable {
	v.Type, v.Definition, v.Datasource = "query", v.Query, &from
	v.Multi, v.IncludeAll, v.Refresh, v.Sort = true, true, 2, 1
	v.Current = Current{"All", "$__all"}
	return v
}

func dashboard(uid, title, description string, p *page, variables ...Variable) Dashboard {
	return Dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{"docket"},
		SchemaVersion: 41, GraphTooltip: 1, Refresh: "10s", Time: TimeRange{From: "now-30m", To: "now"},
		Links: []Link{{
			Title: "Docket", Type: "dashboards", Tags: []string{"docket"}, IncludeVars: true, KeepTime: true,
			Icon: "external link", Tooltip: "The other dashboards of Docket",
		}},
		Templating: Templating{List: variables},
		Panels:     p.panels,
	}
}

// quantile reads a quantile from a histogram, per label unless that is "".
// Selectors narrow it down.
func quantile(q float64, histogram, label string, selectors ...string) string {
	by := "le"
	if label != "" {
		by += ", " + label
	}
	where := ""
	if len(selectors) > 0 {
		where = "{" + strings.Join(selectors, ", ") + "}"
	}
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (rate(%s_bucket%s[$__rate_interval])))", q, by, histogram, where)
}

// grown is by how much a counter grew in the time shown. A series that began in
// that time began with its first event, not at 0, so that its value is what it grew.
func grown(counter, selectors string) string {
	x := counter + "{" + selectors + "}"
	return fmt.Sprintf("sum((%[1]s > 0 unless %[1]s offset $__range) or increase(%[1]s[$__range])) or vector(0)", x)
}

// What the dashboards ask a store in SQL is valid for both engines that have the
// views: DuckDB over a lake, ClickHouse. Times are milliseconds since 1970, so that
// Grafana's own variables bound them and no macro of an engine is needed.
const (
	within  = "time >= ${__from} AND time <= ${__to}"
	visible = "$__conditionalAll(tenant IN (${tenant:singlequote}), $tenant)"
)

// selected is FROM a view WHERE the conditions hold, of the time and the tenants
// that were chosen.
func selected(view string, conditions ...string) string {
	return "FROM " + view + "\nWHERE " + strings.Join(append(conditions, within, visible), "\n  AND ") + "\n"
}
