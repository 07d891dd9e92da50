// SPDX-License-Identifier: Apache-2.0

package clickhouse

// SetPage makes s read so many statements at a time.
func (s *Store) SetPage(n int) { s.page = n }
