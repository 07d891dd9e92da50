// SPDX-License-Identifier: Apache-2.0

package clickhouse

// SetPage makes s read so many statements at a time.
func (s *Store) SetPage(n int) { s.page = n }

// AskTypes makes s insert with the types that the tables have, in place of plainer ones
// that the server converts: those of the native protocol.
func (s *Store) AskTypes() { s.asks = true }
