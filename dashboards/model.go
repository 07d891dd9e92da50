// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"encoding/json"
)

// The part of Grafana's dashboard format that we write. Decoding a committed
// file into these structs with unknown fields refused proves that there is
// nothing in it that nobody decided on.

// A Dashboard is one page of Grafana. It has no id: that is the database's.
type Dashboard struct {
	UID           string     `json:"uid"`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	Tags          []string   `json:"tags"`
	SchemaVersion int        `json:"schemaVersion"`
	Editable      bool       `json:"editable"`
	GraphTooltip  int        `json:"graphTooltip"` // 1: one crosshair over all panels
	Refresh       string     `json:"refresh"`
	Time          TimeRange  `json:"time"`
	Links         []Link     `json:"links"`
	Templating    Templating `json:"templating"`
	Panels        []Panel    `json:"panels"`
}

// A TimeRange is what is shown at first.
type TimeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// A Link at the top of the page leads to all dashboards with its tags.
type Link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	IncludeVars bool     `json:"includeVars"` // what was chosen stays chosen there
	KeepTime    bool     `json:"keepTime"`
	TargetBlank bool     `json:"targetBlank"`
	Icon        string   `json:"icon"`
	Tooltip     string   `json:"tooltip"`
	URL         string   `json:"url"`
}

// Templating holds the variables at the top of the page.
type Templating struct {
	List []Variable `json:"list"`
}

// A Variable lets the reader choose: the data source, so that the dashboard works
// in any Grafana, and what of it is shown.
type Variable struct {
	Name       string      `json:"name"`
	Label      string      `json:"label"`
	Type       string      `json:"type"` // datasource or query
	Query      string      `json:"query"`
	Definition string      `json:"definition,omitempty"` // the query, for lists of variables
	Datasource *Datasource `json:"datasource,omitempty"`
	Current    Current     `json:"current"`
	Multi      bool        `json:"multi,omitempty"`
	IncludeAll bool        `json:"includeAll,omitempty"`
	AllValue   string      `json:"allValue,omitempty"`
	Refresh    int         `json:"refresh,omitempty"` // 2: when the time range changes
	Sort       int         `json:"sort,omitempty"`    // 1: by name
}

// Current is what is chosen at first.
type Current struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}

// A Datasource refers to a variable, never to a fixed uid.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// A Panel is one box, or, with Type "row", a heading.
type Panel struct {
	ID          int          `json:"id"`
	Type        string       `json:"type"`
	Title       string       `json:"title"`
	Description string       `json:"description,omitempty"`
	GridPos     GridPos      `json:"gridPos"`
	Datasource  *Datasource  `json:"datasource,omitempty"`
	Targets     []Target     `json:"targets,omitempty"`
	FieldConfig *FieldConfig `json:"fieldConfig,omitempty"`
	Options     *Options     `json:"options,omitempty"`
	Collapsed   *bool        `json:"collapsed,omitempty"` // rows only
}

// A GridPos is a place on a grid 24 columns wide.
type GridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// A Target is one query of a panel.
type Target struct {
	RefID      string     `json:"refId"`
	Datasource Datasource `json:"datasource"`

	// Of Prometheus.
	Expr         string `json:"expr,omitempty"`
	LegendFormat string `json:"legendFormat,omitempty"`
	Range        bool   `json:"range,omitempty"`

	// Of ClickHouse.
	RawSQL     string `json:"rawSql,omitempty"`
	EditorType string `json:"editorType,omitempty"`
	QueryType  string `json:"queryType,omitempty"`
	Format     int    `json:"format,omitempty"` // 1: a table
}

// A FieldConfig says how values look.
type FieldConfig struct {
	Defaults  FieldDefaults `json:"defaults"`
	Overrides []Override    `json:"overrides"`
}

// FieldDefaults hold for every series without an override.
type FieldDefaults struct {
	Unit       string         `json:"unit"`
	Min        *float64       `json:"min,omitempty"`
	Max        *float64       `json:"max,omitempty"`
	Thresholds *Thresholds    `json:"thresholds,omitempty"`
	Custom     *SeriesDrawing `json:"custom,omitempty"`
}

// Thresholds colour a stat by its value, or are lines across a timeseries.
type Thresholds struct {
	Mode  string      `json:"mode"`
	Steps []Threshold `json:"steps"`
}

// A Threshold is the colour from a value on; the first has none.
type Threshold struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// SeriesDrawing is how a timeseries panel draws.
type SeriesDrawing struct {
	FillOpacity int       `json:"fillOpacity"`
	LineWidth   int       `json:"lineWidth"`
	ShowPoints  string    `json:"showPoints"`
	Stacking    *Stacking `json:"stacking,omitempty"`

	ThresholdsStyle *ThresholdsStyle `json:"thresholdsStyle,omitempty"`
}

// ThresholdsStyle is how thresholds are drawn.
type ThresholdsStyle struct {
	Mode string `json:"mode"`
}

// Stacking puts series on top of each other.
type Stacking struct {
	Mode  string `json:"mode"`
	Group string `json:"group"`
}

// An Override changes the look of the series that it matches.
type Override struct {
	Matcher    Matcher    `json:"matcher"`
	Properties []Property `json:"properties"`
}

// A Matcher selects series by name.
type Matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

// A Property is one thing that an override sets: a colour or a unit.
type Property struct {
	ID    string `json:"id"`
	Value Value  `json:"value"`
}

// A Value is a colour, or a word where Color is nil.
type Value struct {
	Color *Color
	Word  string
}

// MarshalJSON implements [json.Marshaler].
func (v Value) MarshalJSON() ([]byte, error) {
	if v.Color != nil {
		return json.Marshal(v.Color)
	}
	return json.Marshal(v.Word)
}

// UnmarshalJSON implements [json.Unmarshaler]. Fields that nobody knows are refused,
// as where the value is.
func (v *Value) UnmarshalJSON(b []byte) error {
	*v = Value{}
	if bytes.HasPrefix(b, []byte("{")) {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		return dec.Decode(&v.Color)
	}
	return json.Unmarshal(b, &v.Word)
}

// A Color is a colour that stays the same whatever else is shown.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor"`
}

// Options are those of a stat, a timeseries or a table panel.
type Options struct {
	ColorMode     string         `json:"colorMode,omitempty"`
	GraphMode     string         `json:"graphMode,omitempty"`
	ReduceOptions *ReduceOptions `json:"reduceOptions,omitempty"`
	Legend        *Legend        `json:"legend,omitempty"`
	Tooltip       *Tooltip       `json:"tooltip,omitempty"`
	CellHeight    string         `json:"cellHeight,omitempty"`
	ShowHeader    bool           `json:"showHeader,omitempty"`
}

// ReduceOptions make one number of a series.
type ReduceOptions struct {
	Calcs []string `json:"calcs"`
}

// A Legend lists the series.
type Legend struct {
	DisplayMode string   `json:"displayMode"`
	Placement   string   `json:"placement"`
	ShowLegend  bool     `json:"showLegend"`
	Calcs       []string `json:"calcs"`
}

// A Tooltip shows values under the pointer.
type Tooltip struct {
	Mode string `json:"mode"`
	Sort string `json:"sort"`
}
