// SPDX-License-Identifier: Apache-2.0

package dashboards

// Grafana's names of the units that we use.
const (
	perSecond      = "ops"
	bytesPerSecond = "Bps"
	seconds        = "s"
	bytesUnit      = "bytes"
	count          = "short"
	ratio          = "percentunit"
	instant        = "dateTimeAsIso" // of milliseconds since 1970
)

const columns = 24

// decisionColors are one colour per decision, everywhere. The words stand
// beside the colour in every legend, for those who do not see it.
var decisionColors = []struct{ name, color string }{
	{"allow", "green"}, {"modify", "blue"}, {"deny", "red"}, {"none", "text"},
}

// query is one expression and how its series are called.
type query struct{ expr, legend string }

// A page places panels from left to right and top to bottom and numbers them.
type page struct {
	panels []Panel
	x, y   int
	height int // of the line that is being filled
}

func (p *page) place(w, h int, panel Panel) {
	if p.x+w > columns {
		p.breakLine()
	}
	panel.ID = len(p.panels) + 1
	panel.GridPos = GridPos{H: h, W: w, X: p.x, Y: p.y}
	p.panels = append(p.panels, panel)
	p.x += w
	p.height = max(p.height, h)
}

func (p *page) breakLine() {
	p.x, p.y, p.height = 0, p.y+p.height, 0
}

// row starts a section with a heading.
func (p *page) row(title string) {
	p.breakLine()
	open := false
	p.place(columns, 1, Panel{Type: "row", Title: title, Collapsed: &open})
	p.breakLine()
}

// limits colour a value: green below the first, then amber, then red. One limit
// goes from green to red.
func limits(at ...float64) *Thresholds {
	colors := []string{"orange", "red"}[2-len(at):]
	t := &Thresholds{Mode: "absolute", Steps: []Threshold{{Color: "green"}}}
	for i := range at {
		t.Steps = append(t.Steps, Threshold{Color: colors[i], Value: &at[i]})
	}
	return t
}

// exactly is green for one whole number and red for all others.
func exactly(n float64) *Thresholds {
	above := n + 1
	return &Thresholds{Mode: "absolute", Steps: []Threshold{{Color: "red"}, {Color: "green", Value: &n}, {Color: "red", Value: &above}}}
}

// atLeast is red below low, amber below fair and green from there on.
func atLeast(low, fair float64) *Thresholds {
	return &Thresholds{Mode: "absolute", Steps: []Threshold{{Color: "red"}, {Color: "orange", Value: &low}, {Color: "green", Value: &fair}}}
}

// plain says that there is no limit: the number is information.
var plain = &Thresholds{Mode: "absolute", Steps: []Threshold{{Color: "text"}}}

// stat shows one number, coloured by limits.
func (p *page) stat(title, description, unit string, limits *Thresholds, q query) {
	panel := chart("stat", title, description, unit, q)
	panel.FieldConfig.Defaults.Thresholds = limits
	panel.Options = &Options{ColorMode: "value", GraphMode: "area", ReduceOptions: &ReduceOptions{Calcs: []string{"lastNotNull"}}}
	p.place(4, 4, panel)
}

// series shows values over time, three panels to a line.
func (p *page) series(title, description, unit string, queries ...query) {
	p.place(8, 8, timeseries(title, description, unit, queries...))
}

// limited is series with lines where it becomes dangerous.
func (p *page) limited(title, description, unit string, limits *Thresholds, queries ...query) {
	panel := timeseries(title, description, unit, queries...)
	panel.FieldConfig.Defaults.Thresholds = limits
	panel.FieldConfig.Defaults.Custom.ThresholdsStyle = &ThresholdsStyle{Mode: "dashed"}
	p.place(8, 8, panel)
}

// stacked shows parts of a whole over time.
func (p *page) stacked(title, description, unit string, queries ...query) {
	panel := timeseries(title, description, unit, queries...)
	panel.FieldConfig.Defaults.Custom.Stacking = &Stacking{Mode: "normal", Group: "A"}
	panel.FieldConfig.Defaults.Custom.FillOpacity = 40
	p.place(8, 8, panel)
}

// table shows the answer to SQL. Columns whose names end in _at are times.
func (p *page) table(title, description, sql string) {
	target := Target{RefID: "A", Datasource: clickhouse, RawSQL: sql, EditorType: "sql", QueryType: "table", Format: 1}
	panel := Panel{
		Type: "table", Title: title, Description: description, Datasource: &clickhouse, Targets: []Target{target},
		FieldConfig: &FieldConfig{Defaults: FieldDefaults{Unit: count}, Overrides: []Override{{
			Matcher:    Matcher{ID: "byRegexp", Options: "/_at$/"},
			Properties: []Property{{ID: "unit", Value: Value{Word: instant}}},
		}}},
		Options: &Options{ShowHeader: true, CellHeight: "sm"},
	}
	p.place(columns/2, 9, panel)
}

func timeseries(title, description, unit string, queries ...query) Panel {
	panel := chart("timeseries", title, description, unit, queries...)
	panel.FieldConfig.Defaults.Custom = &SeriesDrawing{FillOpacity: 8, LineWidth: 1, ShowPoints: "never"}
	for _, d := range decisionColors {
		panel.FieldConfig.Overrides = append(panel.FieldConfig.Overrides, Override{
			Matcher:    Matcher{ID: "byName", Options: d.name},
			Properties: []Property{{ID: "color", Value: Value{Color: &Color{Mode: "fixed", FixedColor: d.color}}}},
		})
	}
	panel.Options = &Options{
		Legend:  &Legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
		Tooltip: &Tooltip{Mode: "multi", Sort: "desc"},
	}
	return panel
}

func chart(kind, title, description, unit string, queries ...query) Panel {
	zero := 0.0
	panel := Panel{
		Type: kind, Title: title, Description: description, Datasource: &prometheus,
		FieldConfig: &FieldConfig{Defaults: FieldDefaults{Unit: unit, Min: &zero}, Overrides: []Override{}},
	}
	if unit == ratio {
		one := 1.0
		panel.FieldConfig.Defaults.Max = &one
	}
	for i, q := range queries {
		panel.Targets = append(panel.Targets, Target{
			RefID: string(rune('A' + i)), Expr: q.expr, LegendFormat: q.legend, Range: true, Datasource: prometheus,
		})
	}
	return panel
}
