// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// A Decimal is a whole number of so many digits, of which the last Scale are behind
// the point.
type Decimal struct {
	Digits, Scale int
	Value         *big.Int
}

// Text writes it with all its digits.
func (d Decimal) Text() string {
	digits, sign := new(big.Int).Abs(d.Value).String(), ""
	if d.Value.Sign() < 0 {
		sign = "-"
	}
	if d.Scale == 0 {
		return sign + digits
	}
	if missing := d.Scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	return sign + digits[:len(digits)-d.Scale] + "." + digits[len(digits)-d.Scale:]
}

// A Date is a day, since 1970.
type Date int64

func (d Date) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }

// A Timestamp is a moment in nanoseconds or, where Micros, in microseconds.
type Timestamp struct {
	Value  int64
	Micros bool
}

// Digits is how many it has behind the second.
func (t Timestamp) Digits() int {
	if t.Micros {
		return 6
	}
	return 9
}

func (t Timestamp) String() string {
	at := time.Unix(0, t.Value)
	if t.Micros {
		at = time.UnixMicro(t.Value)
	}
	return at.UTC().Format("2006-01-02 15:04:05.000000000"[:20+t.Digits()])
}

// Value returns what an engine of another package binds: nil, a bool, an int64, uint64
// or float64, a string, a []byte, a [Decimal], a [Date] or a [Timestamp]. The error is
// a [StatementError].
func (p Parameter) Value() (any, error) {
	want := map[string]int{
		kindBool: 1, kindInt: 1, kindUint: 1, kindFloat: 1, kindDecimal: 4, kindDate: 1, kindTimestamp: 1, kindTimestampNS: 1, kindTimestampTZ: 1,
	}
	if n, ok := want[p.Kind]; ok && len(p.Ints) != n {
		return nil, fmt.Errorf("a parameter of kind %s has %d numbers", p.Kind, len(p.Ints))
	}
	switch p.Kind {
	case kindNull:
		return nil, nil
	case kindBool:
		return p.Ints[0] != 0, nil
	case kindInt:
		return p.Ints[0], nil
	case kindUint:
		return uint64(p.Ints[0]), nil
	case kindFloat:
		return math.Float64frombits(uint64(p.Ints[0])), nil
	case kindText:
		return string(p.Bytes), nil
	case kindBlob:
		return p.Bytes, nil
	case kindDecimal:
		v := decimal128.New(p.Ints[2], uint64(p.Ints[3]))
		return Decimal{int(p.Ints[0]), int(p.Ints[1]), v.BigInt()}, nil
	case kindDate:
		return Date(p.Ints[0]), nil
	case kindTimestamp, kindTimestampTZ:
		return Timestamp{p.Ints[0], true}, nil
	case kindTimestampNS:
		return Timestamp{p.Ints[0], false}, nil
	}
	return nil, Refuse("bind a text, and convert it in the query", "a parameter of kind %s", p.Kind)
}
