// SPDX-License-Identifier: Apache-2.0

// Package strictoml reads TOML files that people write and that MUST NOT be
// misread: a control that is switched off by a typing error is worse than a
// program that does not start.
//
// It decodes into structs by their `toml:"name"` tags, and
//
//   - refuses a key that no field has, with the line and the nearest key that
//     there is;
//   - refuses a value of the wrong type, and never converts one;
//   - keeps the position of every table and key, so that its caller can refuse
//     a value for its meaning and still name FILE:LINE.
//
// A struct field of type [Pos] receives the position of its table. A field
// with the tag `toml:",rest"` and type map[string]any receives the keys that no
// other field has, for the tables of foreign formats.
//
//	file, err := strictoml.Parse("chain.toml", data)
//	var doc struct {
//		Gateway struct {
//			strictoml.Pos
//			Listen string `toml:"listen"`
//		} `toml:"gateway"`
//	}
//	err = file.Decode(&doc)
//	if doc.Gateway.Listen == "" {
//		return doc.Gateway.Errorf("listen", "say where to listen", "listen is empty")
//	}
//
// Every error of the package is an [*Error].
package strictoml
