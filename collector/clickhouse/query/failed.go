// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/sql"
)

// ofTheStore are the codes of exceptions that are about the server, its disks, its
// files and its network: what they say is not for who asked.
var ofTheStore = func() map[int32]bool {
	all := map[int32]bool{}
	for _, code := range []int32{
		3, 32, 40, 74, 75, 76, 77, 79, 84, 87, 107, 243, 246, 271, 274, 354, 424, 425, 479, 499, 500, 586, 641, // files and disks, also far away: FILE_DOESNT_EXIST, CHECKSUM_DOESNT_MATCH
		95, 96, 99, 100, 101, 102, 198, 203, 209, 210, 279, 519, // the network: SOCKET_TIMEOUT, ALL_CONNECTION_TRIES_FAILED
		225, 242, 254, 369, 415, 529, 568, 574, 999, // the cluster: KEEPER_EXCEPTION, TABLE_IS_READ_ONLY
		226, 227, 228, 231, 232, 233, 234, 235, 384, // parts of tables: NO_FILE_IN_DATA_PART
		81, 236, 722, 733, 741, // what is there, and what ends: UNKNOWN_DATABASE, ABORTED
		49, 439, 1000, 1001, 1002, // what should not be: LOGICAL_ERROR, STD_EXCEPTION
	} {
		all[code] = true
	}
	return all
}()

// A storeError says that the store did not answer, for a reason that is none of who
// asked: they are not told where it is, or what is wrong there.
type storeError struct {
	code  int32 // of an exception; 0 of none
	cause error
}

func (e *storeError) Error() string {
	if e.code != 0 {
		return fmt.Sprintf("the store cannot answer, by code %d of ClickHouse", e.code)
	}
	return "the store cannot be reached"
}

// Unwrap returns the cause.
func (e *storeError) Unwrap() error { return e.cause }

// Hint is for who runs the store.
func (e *storeError) Hint() string {
	if e.code != 0 {
		return "it is not the query; the log of the server says more"
	}
	return "it is not the query; docket doctor says where the store is, and what of it works"
}

// LogValue has what the log of docket is to say.
func (e *storeError) LogValue() slog.Value { return slog.StringValue(e.cause.Error()) }

// noValue is how the client of the server refuses a column.
var noValue = regexp.MustCompile(`unsupported column type "(.*)"`)

// unanswered is an error of the store itself.
func unanswered(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if m := noValue.FindStringSubmatch(err.Error()); m != nil {
		return sql.Refuse("make a value of it: finalizeAggregation() of a state, toString() or CAST of others", "a column of type %.100s", m[1])
	}
	refused := new(driver.Exception)
	if errors.As(err, &refused) {
		return &storeError{refused.Code, err}
	}
	return &storeError{0, err}
}

// failed is an error of the store as one of a query.
func (e *Engine) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	refused := new(driver.Exception)
	if context.Cause(ctx) != nil || !errors.As(err, &refused) || ofTheStore[refused.Code] {
		return unanswered(ctx, err)
	}
	switch refused.Code {
	case 241: // MEMORY_LIMIT_EXCEEDED
		return &memoryError{&sql.MemoryError{Limit: e.limits.Memory}}
	case 159, 160: // TIMEOUT_EXCEEDED, TOO_SLOW
		return &sql.TimeoutError{Limit: e.limits.Total}
	case 202: // TOO_MANY_SIMULTANEOUS_QUERIES
		return new(sql.BusyError)
	case 62: // SYNTAX_ERROR
		return sql.Refuse(selectHint, "%s", said(refused.Message))
	case 497: // ACCESS_DENIED
		return &sql.QueryError{Err: errors.New("the user of docket on the server may not do this")}
	}
	return &sql.QueryError{Err: errors.New(said(refused.Message))}
}

type memoryError struct{ *sql.MemoryError }

func (e *memoryError) Unwrap() error { return e.MemoryError }

// Hint says what needs less.
func (*memoryError) Hint() string {
	return "ask for fewer rows or columns, or for a shorter time: WHERE time >= toUnixTimestamp64Milli(now64()) - 3600000"
}

// maxSaid bounds what is told of an exception.
const maxSaid = 1000

// position is where in the query as it was sent something is, which is not where it is
// in what the caller wrote.
var position = regexp.MustCompile(`failed at position \d+ \((.*?)\) \(line \d+, col \d+\)`)

// said is what an exception says to who asked. What follows is about the query as it
// was sent, which has more in it than the caller wrote.
func said(message string) string {
	if strings.Contains(message, filterFailed) {
		return filterFailed
	}
	message = strings.TrimPrefix(message, "DB::Exception: ")
	for _, behind := range []string{" in scope ", "In scope ", ": while executing", ": While executing", " (version ", "while executing", ": while converting", ": (while reading", "(while reading", ". In query ", ". Look at "} {
		message, _, _ = strings.Cut(message, behind)
	}
	message = position.ReplaceAllString(message, "failed at $1")
	message = strings.TrimSuffix(strings.TrimSpace(message), ":")
	if r := []rune(message); len(r) > maxSaid {
		message = string(r[:maxSaid]) + "..."
	}
	return message
}
