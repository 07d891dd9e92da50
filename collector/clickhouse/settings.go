// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// What the server has not heard of is not in system.settings, so that it may be of any
// version: for that settings are looked at there, and not just set.

// unsafeInserts is the condition in system.settings under which a commit is not what it
// says. Of a token that is not looked at, and of an insert that is cut into blocks, a
// commit would be there twice, or in part.
const unsafeInserts = "name = 'use_strict_insert_block_limits' AND value != '0'" +
	" OR name IN ('deduplicate_insert', 'deduplicate_insert_select') AND value = 'disable'"

// unsafeAnswers is the condition under which an answer is not what was asked for, and
// nothing says so: what was filtered, and whatever has another value than sure.
const unsafeAnswers = "name = 'additional_table_filters' AND value NOT IN ('', '{}') OR name = 'additional_result_filter' AND value != ''"

// sure are settings by which an answer is whole, or an error, and is of now: of answers
// that are cut off a reader would believe that there is no more, and so would a writer,
// which would also not find, in what the server remembers of a question, what it has
// just put there.
var sure = map[string]string{
	"read_overflow_mode": "throw", "read_overflow_mode_leaf": "throw", "result_overflow_mode": "throw", "timeout_overflow_mode": "throw",
	"timeout_overflow_mode_leaf": "throw", "set_overflow_mode": "throw", "join_overflow_mode": "throw", "distinct_overflow_mode": "throw",
	"group_by_overflow_mode": "throw", "sort_overflow_mode": "throw", "transfer_overflow_mode": "throw",
	"limit": "0", "offset": "0", "partial_result_on_first_cancel": "0", "skip_unavailable_shards": "0", "use_query_cache": "0",
	// What was deleted or changed is not as it was before: others do not see that.
	"apply_deleted_mask": "1", "apply_patch_parts": "1",
	// One replica of several reads its share, which of tables without a sampling key is nothing.
	"parallel_replicas_count": "0", "parallel_replica_offset": "0",
}

// lastSetting is asked for as the last, and every server has it: an answer without it is
// not all of what was asked for.
const lastSetting = "timeout_overflow_mode"

// safe fails with [ErrSettings] if the user has settings with which nobody may read,
// or write. From then on the server is told with each query what it shall have: a
// profile may change meanwhile, and who may only read may say of a setting what it is
// anyway, so that what it becomes is an error.
func (s *server) safe(ctx context.Context, writes bool) error {
	unsafe := unsafeAnswers
	if writes {
		unsafe += " OR " + unsafeInserts
	}
	var names []string
	for name := range sure {
		names = append(names, name)
	}
	var all []string
	var name, value string
	known := clickhouse.Settings{}
	err := s.query(ctx, "SELECT name, value FROM system.settings WHERE "+unsafe+" OR name IN ("+texts(names)+") ORDER BY name = "+text(lastSetting)+", name", func(scan func(...any) error) error {
		if err := scan(&name, &value); err != nil {
			return err
		}
		if want, ok := sure[name]; ok {
			known[name] = want
			if value == want {
				return nil
			}
		}
		all = append(all, fmt.Sprintf("%s = %.80s", name, value))
		return nil
	})
	if refused := new(clickhouse.Exception); errors.As(err, &refused) && refused.Code == 719 { // QUERY_CACHE_USED_WITH_SYSTEM_TABLE
		return fmt.Errorf("%w: use_query_cache = 1", ErrSettings)
	}
	if err != nil {
		return err
	}
	// A query with a limit or an offset in its settings sees them as 0, and with a filter
	// of results nothing about it. One that is cut off may see nothing at all.
	whole := name == lastSetting
	rows := 0
	if err := s.query(ctx, "SELECT toUInt8(arrayJoin([0, 1]))", func(scan func(...any) error) error {
		rows++
		return scan(new(uint8))
	}); err != nil {
		return err
	}
	if rows != 2 || !whole {
		all = append(all, "limit, offset, additional_result_filter, or a timeout_overflow_mode after too short a time, by which rows are left out")
	}
	if len(all) > 0 {
		return fmt.Errorf("%w: %s", ErrSettings, strings.Join(all, ", "))
	}
	s.sure = known
	return nil
}
