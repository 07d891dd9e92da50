// SPDX-License-Identifier: Apache-2.0

package clickhouse

import "time"

// ReaderOf is [OpenReader] without asking the server anything, with another patience in
// look-ups.
func ReaderOf(dsn string, patience time.Duration) (*Reader, error) {
	s, err := connect(dsn, "")
	if err != nil {
		return nil, err
	}
	s.patience = patience
	return &Reader{s}, nil
}

// SetPage makes s read so many statements at a time.
func (s *Store) SetPage(n int) { s.page = n }

// AskTypes makes s insert with the types that the tables have, in place of plainer ones
// that the server converts: those of the native protocol.
func (s *Store) AskTypes() { s.asks = true }
