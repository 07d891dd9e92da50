// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"strings"
)

// unsafeSettings is the condition in system.settings under which a commit is not what it says.
// What the server has not heard of is not in there, so that it may be of any version:
// for that these are looked at, and not set with each insert. Of a token that is not
// looked at, and of an insert that is cut into blocks, a commit would be there twice, or
// in part; and of answers that are cut off a writer would believe that there is no more.
const unsafeSettings = "name = 'use_strict_insert_block_limits' AND value != '0'" +
	" OR name IN ('deduplicate_insert', 'deduplicate_insert_select') AND value = 'disable'" +
	" OR name IN ('read_overflow_mode', 'read_overflow_mode_leaf', 'result_overflow_mode', 'timeout_overflow_mode', 'timeout_overflow_mode_leaf'," +
	" 'set_overflow_mode', 'join_overflow_mode', 'distinct_overflow_mode', 'group_by_overflow_mode', 'sort_overflow_mode', 'transfer_overflow_mode') AND value != 'throw'" +
	" OR name = 'additional_table_filters' AND value NOT IN ('', '{}') OR name = 'additional_result_filter' AND value != ''"

// safe fails with [ErrSettings] if the user has settings with which nobody may write.
func (s *server) safe(ctx context.Context) error {
	var all []string
	err := s.query(ctx, "SELECT name, value FROM system.settings WHERE "+unsafeSettings+" ORDER BY name", func(scan func(...any) error) error {
		var name, value string
		if err := scan(&name, &value); err != nil {
			return err
		}
		all = append(all, fmt.Sprintf("%s = %.80s", name, value))
		return nil
	})
	if err != nil {
		return err
	}
	// A query with a limit or an offset in its settings sees them as 0.
	rows := 0
	if err := s.query(ctx, "SELECT toUInt8(arrayJoin([0, 1]))", func(scan func(...any) error) error {
		rows++
		return scan(new(uint8))
	}); err != nil {
		return err
	}
	if rows != 2 {
		all = append(all, "limit or offset, which is not 0")
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrSettings, strings.Join(all, ", "))
}
