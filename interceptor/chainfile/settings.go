// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"encoding/json"
	"fmt"
	"math"
)

// jsonSettings gives the free table in the types of JSON. A plan is recorded
// as JSON: what an interceptor is made from must be the same after it.
func jsonSettings(table map[string]any) (map[string]any, error) {
	if table == nil {
		return nil, nil
	}
	if err := checkNumbers(table); err != nil {
		return nil, err
	}
	text, err := json.Marshal(table)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(text, &out)
}

func checkNumbers(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case int64:
		if v > 1<<53 || v < -1<<53 {
			return fmt.Errorf("integer %d is beyond 2^53, write it as a string", v)
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v is not a number of JSON", v)
		}
	}
	return nil
}
