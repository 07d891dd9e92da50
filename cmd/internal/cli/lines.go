// SPDX-License-Identifier: Apache-2.0

package cli

import "io"

// Lines returns a format of one line for each row, made of the row's JSON.
func Lines(of func(json []byte) (string, error)) func(io.Writer) (RowWriter, error) {
	return func(w io.Writer) (RowWriter, error) { return &lines{w, of}, nil }
}

type lines struct {
	to io.Writer
	of func([]byte) (string, error)
}

func (l *lines) Row(r Row) error {
	line, err := l.of(r.JSON)
	if err != nil {
		return err
	}
	_, err = io.WriteString(l.to, Escape(line)+"\n") // escaped already, or it would be here
	return err
}

func (*lines) Close() error { return nil }
