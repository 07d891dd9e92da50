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
)

const columns = 24

// decisionColors are one colour per decision, everywhere. The words stand
// beside the colour in every legend, for those who do not see it.
var decisionColors = []struct{ name, color string }{
	{"allow", "green"}, {"modify", "blue"}, {"deny", "red"}, {"none", "text"},
}

var prometheus = Datasource{Type: "prometheus", UID: "${prometheus}"}

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

// stat shows one number that should be below limit: green, else red.
func (p *page) stat(title, description, unit string, limit float64, q query) {
	panel := chart("stat", title, description, unit, q)
	panel.FieldConfig.Defaults.Thresholds = &Thresholds{
		Mode:  "absolute",
		Steps: []Threshold{{Color: "green"}, {Color: "red", Value: &limit}},
	}
	panel.Options = &Options{ColorMode: "value", GraphMode: "area", ReduceOptions: &ReduceOptions{Calcs: []string{"lastNotNull"}}}
	p.place(4, 4, panel)
}

// series shows values over time, three panels to a line.
func (p *page) series(title, description, unit string, queries ...query) {
	p.place(8, 8, timeseries(title, description, unit, queries...))
}

// stacked shows parts of a whole over time.
func (p *page) stacked(title, description, unit string, queries ...query) {
	panel := timeseries(title, description, unit, queries...)
	panel.FieldConfig.Defaults.Custom.Stacking = &Stacking{Mode: "normal", Group: "A"}
	panel.FieldConfig.Defaults.Custom.FillOpacity = 40
	p.place(8, 8, panel)
}

func timeseries(title, description, unit string, queries ...query) Panel {
	panel := chart("timeseries", title, description, unit, queries...)
	panel.FieldConfig.Defaults.Custom = &SeriesDrawing{FillOpacity: 8, LineWidth: 1, ShowPoints: "never"}
	for _, d := range decisionColors {
		panel.FieldConfig.Overrides = append(panel.FieldConfig.Overrides, Override{
			Matcher:    Matcher{ID: "byName", Options: d.name},
			Properties: []Property{{ID: "color", Value: Color{Mode: "fixed", FixedColor: d.color}}},
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
	for i, q := range queries {
		panel.Targets = append(panel.Targets, Target{
			RefID: string(rune('A' + i)), Expr: q.expr, LegendFormat: q.legend, Range: true, Datasource: prometheus,
		})
	}
	return panel
}
